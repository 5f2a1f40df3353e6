"""Jit-compiled steps of a search: architecture, weights, validation.

Each `make_*` closes over what is static and returns a function of arrays. The
state is donated and replicated, batches are split over the devices. Random
draws are keyed by the step, so a step is a function of (base key, state,
batch): resuming needs nothing else, and all seeds share a compiled program.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jnas import methods
from jnas.functional import bilevel, schedules
from jnas.nets import supernet
from jnas.spaces import Space
from jnas.training import batches, keys, metrics, optim
from jnas.training.batches import Batch, Images
from jnas.training.keys import Purpose
from jnas.training.state import SearchState
from jnas.types import ArchParams, Array, CellWeights, PRNGKey, Progress, PyTree

# The derived cell as 0 and 1, traced, or as a static value.
Transit = CellWeights | supernet.Structure


class Search(NamedTuple):
  """What the steps of a search have in common; all static.

  Attributes:
    net: the supernet.
    space: the search space.
    method: the search method.
    settings: the method's settings.
    images: how images become inputs.
    params_tx: optimiser of the weights.
    arch_tx: optimiser of the architecture.
    scheme: one of `methods.SCHEMES`.
    hessian: how the second-order term is computed.
    unroll: learning rate by step, momentum and weight decay of the weights'
      optimiser, for the virtual step of the second order.
    has_bypass: whether some channels go past the operations of an edge.
    has_transit: whether some cells compute the derived cell alone.
    recompiles: whether steps are compiled for one derived cell each.
    structure: the derived cell where a program is compiled for it alone; None
      where programs serve every derived cell.
    arch_warmup: epochs before the architecture moves.
    arch_moves_statistics: whether architecture steps move the running batch
      statistics.
    drop_path: probability of dropping an edge in training.
    drop_skip: probability of dropping an element of an identity's output in
      the first epoch.
    num_epochs: of the search.
    steps_per_epoch: weight steps in an epoch.
    batch_size: images in a batch, over all devices.
    resources: of `methods.Context`.
    sizes: of `methods.Context`.
    drop_skip_end: `drop_skip` of the last epoch, to which it goes linearly.
    latency: of `methods.Context`.
  """

  net: Any
  space: Space
  method: methods.Method
  settings: Any
  images: Images
  params_tx: optim.Optimizer
  arch_tx: optax.GradientTransformation
  scheme: str
  hessian: Literal["exact", "finite_difference"]
  unroll: optim.Unroll
  has_bypass: bool
  has_transit: bool
  recompiles: bool
  structure: supernet.Structure | None
  arch_warmup: int
  arch_moves_statistics: bool
  drop_path: float
  drop_skip: float
  num_epochs: int
  steps_per_epoch: int
  batch_size: int
  resources: Mapping[str, np.ndarray]
  sizes: methods.Sizes
  drop_skip_end: float = 0.0
  latency: methods.Latency | None = None

  @property
  def is_joint(self) -> bool:
    """Whether the weight step also moves the architecture."""
    return self.scheme == "single_level" and self.method.joint(self.settings)

  @property
  def moves_arch(self) -> bool:
    """Whether there are architecture steps."""
    return self.scheme != "frozen" and not self.is_joint

  def progress(self, step: Array) -> Progress:
    """How far a search has come after a number of steps."""
    return Progress(
      epoch=jnp.asarray(step // self.steps_per_epoch, jnp.int32),
      num_epochs=jnp.asarray(self.num_epochs, jnp.int32),
      step=jnp.asarray(step, jnp.int32),
    )

  def context(self, memory: PyTree, step: Array) -> methods.Context:
    """What the method knows at a step."""
    return methods.Context(
      space=self.space,
      progress=self.progress(step),
      memory=memory,
      resources=self.resources,
      sizes=self.sizes,
      batch_size=self.batch_size,
      latency=self.latency,
    )

  def transit(
    self, arch: ArchParams, context: methods.Context
  ) -> Transit | None:
    """The derived cell, None where no cell computes it alone."""
    if not self.has_transit:
      return None
    if self.structure is not None:
      return self.structure
    return methods.transit(self.method, self.settings, arch, context)

  def apply(
    self,
    params: PyTree,
    batch_stats: PyTree,
    images: Array,
    weights: CellWeights,
    transit: Transit | None,
    key: PRNGKey,
    progress: Progress,
  ) -> tuple[Array, PyTree]:
    """Logits in training mode, and the running statistics moved."""
    options: dict[str, Any] = {}
    if transit is not None:
      options["transit"] = transit
    if self.drop_path:
      options["drop_path"] = jnp.asarray(self.drop_path)
    if self.has_bypass:
      options["edge_weights"] = _edge_weights(weights)
    if self.drop_skip:
      options["drop_skip"] = schedules.linear(
        progress.epoch,
        start=self.drop_skip,
        end=self.drop_skip_end,
        num_epochs=self.num_epochs,
      )
    logits, moved = self.net.apply(
      {"params": params, "batch_stats": batch_stats},
      images,
      weights,
      train=True,
      rngs={
        name: jax.random.fold_in(key, index)
        for index, name in enumerate(("noise", "drop_path", "drop_skip"))
      },
      mutable=["batch_stats"],
      **options,
    )
    return logits, moved["batch_stats"]


def make_arch_step(
  search: Search,
) -> Callable[[PRNGKey, SearchState, tuple[Batch, Batch]], SearchState]:
  """The step of the architecture on a training and a validation batch.

  In a single level both are the training batch. What is not read of them is
  not computed.

  Choice: batch norms use the batch's statistics and leave the running ones
  alone (SPEC 6, D1); `arch_moves_statistics` does as the authors' code.

  Source: DARTS, Algorithm 1, step 1.
  """

  def arch_step(
    base_key: PRNGKey, state: SearchState, both: tuple[Batch, Batch]
  ) -> SearchState:
    train_batch, valid_batch = both
    key = jax.random.fold_in(base_key, state.step)
    context = search.context(state.memory, state.step)
    train = _augmented(search, key, train_batch, Purpose.TRAIN_AUGMENT)
    valid = _augmented(search, key, valid_batch, Purpose.VALID_AUGMENT)
    if search.scheme == "single_level":
      valid = train
    mix_key = arch_key(search, base_key, state.step)

    def logits_of(params, arch, batch, weights, purpose):
      return search.apply(
        params,
        state.batch_stats,
        batch["images"],
        weights,
        search.transit(arch, context),
        keys.key_for(key, purpose),
        context.progress,
      )

    def losses(params, arch):
      def of(batch, purpose):
        return lambda weights: batches.losses(
          logits_of(params, arch, batch, weights, purpose)[0], batch["labels"]
        )

      return methods.Losses(
        train=of(train, Purpose.TRAIN_NOISE),
        valid=of(valid, Purpose.VALID_NOISE),
      )

    def objective(params, arch):
      return methods.objective(
        search.method,
        search.settings,
        arch,
        mix_key,
        context,
        losses(params, arch),
      )

    def train_loss(params, arch):
      weights = search.method.mix(
        search.settings,
        arch,
        keys.key_for(key, Purpose.TRAIN_MIX),
        context,
      )
      return jnp.mean(losses(params, arch).train(weights))

    if search.scheme == "second_order":
      grad = bilevel.darts_grad(
        lambda params, arch, loss: loss(params, arch),
        state.params,
        state.arch,
        train_loss,
        lambda params, arch: objective(params, arch)[0],
        order=2,
        xi=search.unroll.learning_rate(state.step),
        momentum_buffer=optim.momentum_of(state.params_opt, state.params),
        mu=search.unroll.momentum,
        wd=search.unroll.weight_decay,
        hvp="exact" if search.hessian == "exact" else "fd",
      )
      memory = state.memory
    else:
      grad, memory = jax.grad(objective, argnums=1, has_aux=True)(
        state.params, state.arch
      )
    batch_stats = state.batch_stats
    if search.arch_moves_statistics:
      weights = search.method.mix(search.settings, state.arch, mix_key, context)
      batch_stats = logits_of(
        state.params, state.arch, valid, weights, Purpose.VALID_NOISE
      )[1]
    return _move_arch(search, state, grad)._replace(
      batch_stats=batch_stats, memory=memory
    )

  return arch_step


def make_weight_step(
  search: Search,
) -> Callable[[PRNGKey, SearchState, Batch], tuple[SearchState, Array]]:
  """The step of the weights on a training batch, which ends a step.

  Where the method is joint in a single level, the architecture moves by the
  same backward pass. Returns a function that also gives the mean loss of the
  batch, `[]`.

  Source: DARTS, Algorithm 1, step 2; SNAS, Sec. 2.2 for the single level;
  SPEC 3.0 for the optimiser.
  """

  def weight_step(
    base_key: PRNGKey, state: SearchState, batch: Batch
  ) -> tuple[SearchState, Array]:
    key = jax.random.fold_in(base_key, state.step)
    context = search.context(state.memory, state.step)
    augmented = _augmented(search, key, batch, Purpose.TRAIN_AUGMENT)
    mix_key = keys.key_for(key, Purpose.TRAIN_MIX)

    def objective(params, arch):
      weights = search.method.mix(search.settings, arch, mix_key, context)
      logits, stats = search.apply(
        params,
        state.batch_stats,
        augmented["images"],
        weights,
        search.transit(arch, context),
        keys.key_for(key, Purpose.TRAIN_NOISE),
        context.progress,
      )
      losses = batches.losses(logits, batch["labels"])
      total = jnp.mean(losses)
      if search.is_joint:
        total += search.method.penalty(
          search.settings, arch, mix_key, context, weights
        )
      return total, (losses, logits, stats)

    moved = state
    if search.is_joint:
      (grad, arch_grad), aux = jax.grad(
        objective, argnums=(0, 1), has_aux=True
      )(state.params, state.arch)
      moved = _after_warmup(
        search, context.progress, _move_arch(search, state, arch_grad), state
      )
    else:
      grad, aux = jax.grad(objective, has_aux=True)(state.params, state.arch)
    losses, logits, stats = aux
    params, params_opt = search.params_tx.step(
      grad, state.params_opt, state.params
    )
    moved = moved._replace(
      step=state.step + 1,
      params=params,
      batch_stats=stats,
      params_opt=params_opt,
      memory=search.method.after_step(search.settings, moved.arch, context),
      sums=batches.add_sums(state.sums, losses, logits, batch["labels"]),
    )
    return moved, jnp.mean(losses)

  return weight_step


def make_search_eval(
  search: Search, *, batch_statistics: bool = False
) -> Callable[..., metrics.MetricSums]:
  """Sums of a supernet over a batch.

  Args:
    search: the static parts.
    batch_statistics: whether batch norms use those of the batch instead of
      the running ones; none are moved.

  Returns:
    `(params, batch_stats, weights, transit, batch, mask) -> sums`; transit is
    None where every cell mixes by the weights.
  """

  def evaluate(
    params: PyTree,
    batch_stats: PyTree,
    weights: CellWeights,
    transit: CellWeights | None,
    batch: Batch,
    mask: Array,
  ) -> metrics.MetricSums:
    options: dict[str, Any] = {}
    if search.has_transit:
      options["transit"] = (
        transit if not search.recompiles else search.structure
      )
    if search.has_bypass:
      options["edge_weights"] = _edge_weights(weights)
    logits = search.net.apply(
      {"params": params, "batch_stats": batch_stats},
      search.images.plain(batch["images"]),
      weights,
      train=batch_statistics,
      rngs={"noise": jax.random.key(0)},
      mutable=["batch_stats"] if batch_statistics else False,
      **options,
    )
    if batch_statistics:
      logits = logits[0]
    losses = batches.losses(logits, batch["labels"])
    hits = batches.hits(logits, batch["labels"])
    return metrics.batch_sums(losses, hits, mask)

  return evaluate


def _edge_weights(weights: CellWeights) -> CellWeights:
  """`[E]` or `[B, E]`: an edge counts what its operations count together."""
  return {name: jnp.sum(value, axis=-1) for name, value in weights.items()}


def _augmented(
  search: Search, key: PRNGKey, batch: Batch, purpose: Purpose
) -> Batch:
  images = search.images.training(keys.key_for(key, purpose), batch["images"])
  return {**batch, "images": images}


def arch_key(search: Search, base_key: PRNGKey, step: Array) -> PRNGKey:
  """The key that an architecture step draws with: its own, or the weights'."""
  same = search.method.same_sample
  purpose = Purpose.TRAIN_MIX if same else Purpose.VALID_MIX
  return keys.key_for(jax.random.fold_in(base_key, step), purpose)


def _move_arch(
  search: Search, state: SearchState, grad: ArchParams
) -> SearchState:
  updates, arch_opt = search.arch_tx.update(grad, state.arch_opt, state.arch)
  return state._replace(
    arch=optax.apply_updates(state.arch, updates), arch_opt=arch_opt
  )


def _after_warmup(
  search: Search, progress: Progress, moved: SearchState, state: SearchState
) -> SearchState:
  """The state moved, or as it was while the architecture waits."""
  if not search.arch_warmup:
    return moved
  waits = progress.epoch < search.arch_warmup
  return jax.tree.map(lambda new, old: jnp.where(waits, old, new), moved, state)
