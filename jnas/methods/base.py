"""What a search method owes.

All methods reduce to how mixing weights are made from architecture parameters
and which gradient reaches them. The supernet sees weights and nothing else.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnas.functional import derive
from jnas.functional.surrogate import LinearModel
from jnas.spaces import NONE, Space
from jnas.types import ArchParams, Array, CellWeights, PRNGKey, Progress, PyTree

# How weights and architecture are updated, `search.scheme` in a config.
SCHEMES = ("bilevel", "second_order", "single_level", "frozen")


class Sizes(NamedTuple):
  """What a derived network costs, linear in what each edge chooses.

  Attributes:
    base: `[2]` parameters and multiply-adds of everything but the edges.
    edges: for each cell type `[E, K, 2]` parameters and multiply-adds of an
      operation on an edge, summed over the cells of the type.
  """

  base: np.ndarray
  edges: Mapping[str, np.ndarray]


class Latency(NamedTuple):
  """How long the derived network of an architecture takes, in milliseconds.

  Attributes:
    surrogate: of mixing weights, discrete or relaxed; regressed on networks
      timed whole.
    table: of discrete weights: operations timed alone, added up.
  """

  surrogate: LinearModel
  table: LinearModel


class Timing(NamedTuple):
  """What a method that minimises latency tells those who measure it.

  Attributes:
    table: `(settings) -> path` of the latency table, "" for no latency.
    measures: `(settings) -> bool`, whether each architecture that is drawn is
      timed on the device, instead of being looked up.
    every_edge: `(settings) -> bool`, whether what it draws uses every edge.
    sample: `(settings, arch, key, space) -> CellWeights`, the discrete
      architecture whose latency `arch_objective` will want with the same key.
    remember: `(memory, milliseconds) -> memory` with its measured latency.
  """

  table: Callable[[Any], str]
  measures: Callable[[Any], bool]
  every_edge: Callable[[Any], bool]
  sample: Callable[[Any, ArchParams, PRNGKey, Space], CellWeights]
  remember: Callable[[PyTree, Array], PyTree]


class Context(NamedTuple):
  """What a method knows besides its settings and parameters.

  Attributes:
    space: the search space; static.
    progress: how far the search has come, traced.
    memory: what the method remembers from step to step, traced; made by
      `init_memory` and replaced by what `after_step` and `after_epoch` return.
    resources: for each cell type `[L, E, K, 3]` parameters, multiply-adds and
      memory accesses of an operation on an edge of each of its L cells in the
      supernet; static.
    sizes: of the network that will be derived; static.
    batch_size: images in a batch, over all devices; static.
    latency: of the derived network; None where the method asks for none.
  """

  space: Space
  progress: Progress
  memory: PyTree
  resources: Mapping[str, np.ndarray]
  sizes: Sizes
  batch_size: int
  latency: Latency | None = None


class Losses(NamedTuple):
  """The network's loss as functions of the mixing weights.

  Each maps CellWeights to `[B]` losses of the examples of a batch, batch norms
  on the batch's statistics; differentiable in the weights.

  Attributes:
    train: on the batch that the weights will be fitted to.
    valid: on a batch of the other split; the same batch in a single level.
  """

  train: Callable[[CellWeights], Array]
  valid: Callable[[CellWeights], Array]


def no_penalty(
  settings: Any,
  arch: ArchParams,
  key: PRNGKey,
  context: Context,
  weights: CellWeights,
) -> Array:
  """The penalty of a method that has none, `[]` zero."""
  del settings, arch, key, context, weights
  return jnp.zeros(())


def no_memory(settings: Any, space: Space) -> PyTree:
  """The memory of a method that remembers nothing."""
  del settings, space
  return {}


def keep_memory(settings: Any, arch: ArchParams, context: Context) -> PyTree:
  """The memory as it was."""
  del settings, arch
  return context.memory


def no_report(
  settings: Any, arch: ArchParams, context: Context
) -> dict[str, Array]:
  """Nothing to tell of an epoch."""
  del settings, arch, context
  return {}


def always_joint(settings: Any) -> bool:
  """Whether one backward pass serves both: it does."""
  del settings
  return True


class Method(NamedTuple):
  """A search method: pure functions over architecture parameters.

  In a bilevel step the architecture moves along the gradient of
  `arch_objective`, which *is* the method's estimator. In a single-level step
  of a method that is `joint`, the weights and the architecture both move along
  the gradient of `mean(losses.train(mix)) + penalty`, in one backward pass.

  Attributes:
    settings: frozen dataclass type of the method's own settings; an instance
      is the first argument of each function below.
    init: `(settings, key, space) -> arch`, the pytree to train.
    mix: `(settings, arch, key, context) -> CellWeights`, the mixing weights of
      a weight step, differentiable in arch.
    probs: `(settings, arch, context) -> CellWeights`, what the method
      believes: the weights that entropy, derivation, selection and, without
      `sample`, validation look at.
    sample: `(settings, arch, key, context) -> CellWeights` without an axis for
      images: an architecture with which the search validates the supernet on
      one batch; None where it does with `probs`.
    selector: name of the selector that derives its genotype from `decide`
      unless the config names another.
    schemes: the update schemes that make sense, the default first.
    arch_objective: `(settings, arch, key, context, losses) -> ([] scalar,
      memory)`; None for the mean validation loss at `mix` plus the penalty.
    penalty: `(settings, arch, key, context, weights) -> [] scalar` added to
      the loss at `weights`, which came from `mix` with the same key.
    joint: `(settings) -> bool`, whether one backward pass serves both.
    init_memory: `(settings, space) -> memory`.
    after_step: `(settings, arch, context) -> memory`, at the end of each step.
    after_epoch: the same at the end of each epoch.
    decide: `(settings, arch, context) -> CellWeights` that the selector reads;
      None for `probs`.
    transit: `(settings, arch, context) -> CellWeights`, 0 or 1 for each
      connection of cells that compute the derived cell alone; None for the
      strongest operation of the strongest edges of `probs`.
    report: `(settings, arch, context) -> {name: [] scalar}`, written into the
      record of each epoch.
    same_sample: whether the weight step draws with the architecture step's
      key, so that both see one sample.
    decides_edges: whether the method settles edges while it searches; its
      memory then has, for each cell type, the "decisions" of
      `functional.sgas`, and perturbation may choose their operations.
    trains_candidates: whether there is no supernet: random cells are trained
      apart, `settings.num_candidates` of them, and the best is found.
    authors: fields of the config, by dotted name, that the authors' code sets
      otherwise than the paper; `--preset authors`.
    needs: what the method asks of a space; raises ValueError for one that it
      cannot search.
    timing: how it has latencies measured; None where it minimises none.
  """

  settings: type
  init: Callable[[Any, PRNGKey, Space], ArchParams]
  mix: Callable[[Any, ArchParams, PRNGKey, Context], CellWeights]
  probs: Callable[[Any, ArchParams, Context], CellWeights]
  selector: str
  schemes: tuple[str, ...] = SCHEMES
  arch_objective: Callable[..., tuple[Array, PyTree]] | None = None
  penalty: Callable[..., Array] = no_penalty
  joint: Callable[[Any], bool] = always_joint
  init_memory: Callable[[Any, Space], PyTree] = no_memory
  after_step: Callable[[Any, ArchParams, Context], PyTree] = keep_memory
  after_epoch: Callable[[Any, ArchParams, Context], PyTree] = keep_memory
  sample: Callable[[Any, ArchParams, PRNGKey, Context], CellWeights] | None = (
    None
  )
  decide: Callable[[Any, ArchParams, Context], CellWeights] | None = None
  transit: Callable[[Any, ArchParams, Context], CellWeights] | None = None
  report: Callable[[Any, ArchParams, Context], dict[str, Array]] = no_report
  same_sample: bool = False
  decides_edges: bool = False
  trains_candidates: bool = False
  authors: Mapping[str, Any] = {}
  needs: Callable[[Space], None] | None = None
  timing: Timing | None = None


def objective(
  method: Method,
  settings: Any,
  arch: ArchParams,
  key: PRNGKey,
  context: Context,
  losses: Losses,
) -> tuple[Array, PyTree]:
  """The scalar whose gradient moves the architecture in a bilevel step.

  Source: DARTS, Eq. (7) with xi = 0, where the method has none of its own.

  Args:
    method: the method.
    settings: its settings.
    arch: its parameters.
    key: consumed.
    context: space, progress, memory and costs.
    losses: of the network.

  Returns:
    `[]` the loss or surrogate, and what the method remembers of it.
  """
  if method.arch_objective is not None:
    return method.arch_objective(settings, arch, key, context, losses)
  weights = method.mix(settings, arch, key, context)
  penalty = method.penalty(settings, arch, key, context, weights)
  return jnp.mean(losses.valid(weights)) + penalty, context.memory


def decide(
  method: Method, settings: Any, arch: ArchParams, context: Context
) -> CellWeights:
  """The weights that the selector reads."""
  return (method.decide or method.probs)(settings, arch, context)


def transit(
  method: Method, settings: Any, arch: ArchParams, context: Context
) -> CellWeights:
  """0 or 1 for each connection: the cell derived from the present parameters.

  No gradient passes.

  Source: EnTranNAS, Sec. 3.2: S_j is derived anew at every iteration.
  """
  if method.transit is not None:
    chosen = method.transit(settings, arch, context)
  else:
    chosen = strongest_connections(
      decide(method, settings, arch, context), context.space
    )
  return jax.lax.stop_gradient(chosen)


def strongest_connections(
  weights: CellWeights, space: Space, *, allow_same_edge: bool = False
) -> CellWeights:
  """The connections that DARTS's rule keeps, as 0 and 1.

  Source: DARTS, Sec. 2.4; EnTranNAS, Sec. 3.2.

  Args:
    weights: `[E, K]` of each cell type.
    space: the search space.
    allow_same_edge: whether the two connections of a node may share an edge.
  """
  targets = {
    cell_type: jnp.asarray([into for _, into in space.edges_of(cell_type)])
    for cell_type in weights
  }
  return {
    cell_type: derive.top_connections(
      weights_ek,
      allowed(space, cell_type),
      targets[cell_type],
      num_connections=space.edges_per_node,
      allow_same_edge=allow_same_edge,
    ).astype(jnp.float32)
    for cell_type, weights_ek in weights.items()
  }


def allowed(space: Space, cell_type: str) -> Array:
  """`[E, K]` booleans, False for `none` and for padding."""
  return jnp.asarray(space.mask(cell_type) & ~space.is_op(cell_type, NONE))


def initial_logits(key: PRNGKey, space: Space, *, scale: float) -> ArchParams:
  """Normal logits of this deviation, `[E, K]` for each cell type.

  Args:
    key: consumed.
    space: the search space.
    scale: standard deviation; 0 for zeros.
  """
  keys = jax.random.split(key, len(space.cell_types))
  return {
    cell_type: scale * jax.random.normal(cell_key, space.mask(cell_type).shape)
    for cell_type, cell_key in zip(space.cell_types, keys, strict=True)
  }
