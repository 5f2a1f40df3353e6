"""The compiled programs of a search, and the state that they start from."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jnas import methods
from jnas.data import loader
from jnas.data.base import Dataset
from jnas.ops import draws
from jnas.pipeline import problem, stage
from jnas.training import keys, metrics, optim, steps
from jnas.training.keys import Purpose
from jnas.training.state import SearchState
from jnas.types import CellWeights


class Belief(NamedTuple):
  """What a method believes at a step.

  Attributes:
    probs: what validation and entropy look at.
    decided: what the selector reads.
    transit: the derived cell as 0 and 1 where some cells compute it alone.
    report: the method's own scalars.
  """

  probs: CellWeights
  decided: CellWeights
  transit: CellWeights | None
  report: dict[str, Any]


class Programs(NamedTuple):
  """Compiled steps of a search.

  Attributes:
    arch_step: `(state, (train batch, valid batch)) -> state`; None where the
      architecture does not move, or moves with the weights.
    weight_step: `(state, batch) -> (state, loss)`.
    evaluate: `(params, batch_stats, weights, transit, batch, mask) -> sums`.
    believe: `(arch, memory, step) -> Belief`.
    after_epoch: `(arch, memory, step) -> memory`.
  """

  arch_step: Callable[..., SearchState] | None
  weight_step: Callable[..., tuple[SearchState, jax.Array]]
  evaluate: Callable[..., metrics.MetricSums]
  believe: Callable[..., Belief]
  after_epoch: Callable[..., Any]


def make(found: problem.Problem, dataset: Dataset) -> steps.Search:
  """The static parts of a search's steps."""
  config = found.config.search
  steps_per_epoch = loader.steps_per_epoch(found.num_train, config.batch_size)
  return steps.Search(
    net=problem.search_net(found),
    space=found.space,
    method=found.method,
    settings=found.settings,
    images=found.images(dataset, cutout=0),
    params_tx=optim.weights(config, steps_per_epoch=steps_per_epoch),
    arch_tx=optim.architecture(config, steps_per_epoch=steps_per_epoch),
    scheme=problem.scheme(found),
    hessian=config.hessian,
    unroll=optim.unroll(config, steps_per_epoch=steps_per_epoch),
    has_transit=found.config.supernet.engine != "all",
    arch_warmup=config.arch_warmup,
    arch_moves_statistics=config.arch_moves_statistics,
    drop_path=config.drop_path,
    drop_skip=config.drop_skip,
    num_epochs=config.epochs,
    steps_per_epoch=steps_per_epoch,
    batch_size=config.batch_size,
    resources=problem.resources(found),
    sizes=problem.sizes(found),
  )


def init_state(
  search: steps.Search, base_key: jax.Array, image_shape: tuple[int, int, int]
) -> SearchState:
  """The state before the first step."""
  space = search.space
  weights = {
    name: jnp.zeros(space.mask(name).shape) for name in space.cell_types
  }
  images = jnp.zeros((1, *image_shape))
  options = {"transit": weights} if search.has_transit else {}

  def init(key: jax.Array) -> Any:
    streams = {"params": key, "noise": key}
    return search.net.init(streams, images, weights, train=True, **options)

  variables = draws.initialize(init, keys.key_for(base_key, Purpose.INIT))

  # Under jit no two leaves share a buffer, which donation could not bear.
  @jax.jit
  def init_method(key: jax.Array) -> tuple[Any, Any]:
    arch = search.method.init(search.settings, key, space)
    return arch, search.method.init_memory(search.settings, space)

  arch, memory = init_method(keys.key_for(base_key, Purpose.ARCH_INIT))
  return SearchState(
    step=jnp.zeros((), jnp.int32),
    params=variables["params"],
    batch_stats=variables["batch_stats"],
    params_opt=jax.jit(search.params_tx.init)(variables["params"]),
    arch=arch,
    arch_opt=search.arch_tx.init(arch),
    memory=memory,
    sums=metrics.zero_sums(),
  )


def compile_programs(
  search: steps.Search,
  base_key: jax.Array,
  state: SearchState,
  batch: loader.Batch,
) -> tuple[Programs, int]:
  """Compiles every step of a search; also gives the largest peak memory."""
  arch_step = None
  if search.moves_arch:
    arch_step = stage.compile_step(
      "architecture step",
      steps.make_arch_step(search, base_key),
      state,
      (batch, batch),
      donate_argnums=0,
    )
  weight_step = stage.compile_step(
    "weight step",
    steps.make_weight_step(search, base_key),
    state,
    batch,
    donate_argnums=0,
  )

  def believe(arch: Any, memory: Any, step: jax.Array) -> Belief:
    context = search.context(memory, step)
    settings = search.settings
    return Belief(
      probs=search.method.probs(settings, arch, context),
      decided=methods.decide(search.method, settings, arch, context),
      transit=search.transit(arch, context),
      report=search.method.report(settings, arch, context),
    )

  def after_epoch(arch: Any, memory: Any, step: jax.Array) -> Any:
    context = search.context(memory, step)
    return search.method.after_epoch(search.settings, arch, context)

  believe = jax.jit(believe)
  mask = jnp.ones(batch["labels"].shape, jnp.float32)
  mask = jax.device_put(mask, batch["labels"].sharding)
  belief = believe(state.arch, state.memory, state.step)
  evaluate = stage.compile_step(
    "validation",
    steps.make_search_eval(search),
    state.params,
    state.batch_stats,
    belief.probs,
    belief.transit,
    batch,
    mask,
  )
  programs = Programs(
    arch_step, weight_step, evaluate, believe, jax.jit(after_epoch)
  )
  compiled = [weight_step, evaluate]
  if arch_step is not None:
    compiled.append(arch_step)
  return programs, stage.peak_bytes(*compiled)


def belief_of(programs: Programs, state: SearchState) -> Belief:
  """What the method believed in the last step, on the host."""
  return jax.device_get(
    programs.believe(state.arch, state.memory, state.step - 1)
  )
