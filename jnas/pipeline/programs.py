"""The compiled programs of a search, and the state that they start from."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jnas import methods
from jnas.data import loader, placing
from jnas.data.base import Dataset
from jnas.nets import supernet
from jnas.ops import draws
from jnas.pipeline import latency, networks, problem, stage
from jnas.training import keys, metrics, optim, steps
from jnas.training.keys import Purpose
from jnas.training.state import SearchState
from jnas.types import CellWeights


class Belief(NamedTuple):
  """What a method believes at a step.

  Attributes:
    probs: what entropy and, of methods without samples, validation look at.
    decided: what the selector reads.
    transit: the derived cell as 0 and 1, where some cells compute it alone.
    report: the method's own scalars.
  """

  probs: CellWeights
  decided: CellWeights
  transit: Any
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
    sample: `(arch, memory, step, key) -> CellWeights`, what a batch of
      validation is measured with; None for the probabilities that are believed.
  """

  arch_step: Callable[..., SearchState] | None
  weight_step: Callable[..., tuple[SearchState, jax.Array]]
  evaluate: Callable[..., metrics.MetricSums]
  believe: Callable[..., Belief]
  after_epoch: Callable[..., Any]
  sample: Callable[..., CellWeights] | None


def make(found: problem.Problem, dataset: Dataset) -> steps.Search:
  """The static parts of a search's steps."""
  config, saved = found.config.search, networks.options(found)
  steps_per_epoch = loader.steps_per_epoch(found.num_train, config.batch_size)
  return steps.Search(
    net=networks.search_net(found),
    space=found.space,
    method=found.method,
    settings=found.settings,
    images=found.images(dataset, cutout=0),
    params_tx=optim.weights(config, steps_per_epoch=steps_per_epoch),
    arch_tx=optim.architecture(config, steps_per_epoch=steps_per_epoch),
    scheme=problem.scheme(found),
    hessian=config.hessian,
    unroll=optim.unroll(config, steps_per_epoch=steps_per_epoch),
    has_bypass=saved.partial_channels > 1,
    has_transit=saved.has_transit,
    recompiles=saved.has_transit and saved.transit == "recompile",
    structure=None,
    arch_warmup=config.arch_warmup,
    arch_moves_statistics=config.arch_moves_statistics,
    drop_path=config.drop_path,
    drop_skip=config.drop_skip,
    drop_skip_end=config.drop_skip * config.drop_skip_share,
    num_epochs=config.epochs,
    steps_per_epoch=steps_per_epoch,
    batch_size=config.batch_size,
    resources=networks.resources(found),
    sizes=networks.sizes(found),
    latency=latency.load(found),
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
  options = {}
  if search.has_transit:
    transit = search.recompiles and supernet.freeze(weights)
    options["transit"] = transit or weights

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


def make_believe(search: steps.Search) -> Callable[..., Belief]:
  """Returns `(arch, memory, step) -> Belief`."""

  def believe(arch: Any, memory: Any, step: jax.Array) -> Belief:
    context = search.context(memory, step)
    settings = search.settings
    return Belief(
      probs=search.method.probs(settings, arch, context),
      decided=methods.decide(search.method, settings, arch, context),
      transit=search.transit(arch, context),
      report=search.method.report(settings, arch, context),
    )

  return believe


def make_after_epoch(search: steps.Search) -> Callable[..., Any]:
  """Returns `(arch, memory, step) -> memory`."""

  def after_epoch(arch: Any, memory: Any, step: jax.Array) -> Any:
    context = search.context(memory, step)
    return search.method.after_epoch(search.settings, arch, context)

  return after_epoch


def make_sample(search: steps.Search) -> Callable[..., CellWeights] | None:
  """Returns `(arch, memory, step, key) -> CellWeights`, or None."""
  draw = search.method.sample
  if draw is None:
    return None

  @jax.jit
  def sample(
    arch: Any, memory: Any, step: jax.Array, key: jax.Array
  ) -> CellWeights:
    return draw(search.settings, arch, key, search.context(memory, step))

  return sample


def compile_validation(
  search: steps.Search, state: SearchState, belief: Belief, batch: loader.Batch
) -> jax.stages.Compiled:
  """Compiles the validation for a state, a belief and a batch like these."""
  mask = jnp.ones(batch["labels"].shape, jnp.float32)
  return stage.compile_step(
    "validation",
    steps.make_search_eval(search),
    state.params,
    state.batch_stats,
    belief.probs,
    None if search.structure is not None else belief.transit,
    batch,
    placing.put(mask, batch["labels"].sharding),
  )


def compile_programs(
  search: steps.Search,
  base_key: jax.Array,
  state: SearchState,
  batch: loader.Batch,
) -> tuple[Programs, int]:
  """Compiles every step of a search; also gives the largest peak memory.

  Where the supernet's Transit-cells are compiled for each derived cell, that
  is done for the present one, and again whenever a step finds another.
  """

  def compile_arch(search: steps.Search) -> jax.stages.Compiled:
    return stage.compile_step(
      "architecture step",
      steps.make_arch_step(search),
      base_key,
      state_like,
      (batch, batch),
      donate_argnums=1,
    )

  def compile_weight(search: steps.Search) -> jax.stages.Compiled:
    return stage.compile_step(
      "weight step",
      steps.make_weight_step(search),
      base_key,
      state_like,
      batch,
      donate_argnums=1,
    )

  def compile_eval(search: steps.Search) -> jax.stages.Compiled:
    return compile_validation(search, state_like, belief, batch)

  base_key = placing.put(base_key, state.step.sharding)
  state_like = describe(state)
  believe = jax.jit(make_believe(search))
  belief = believe(state.arch, state.memory, state.step)
  compilers = [compile_weight, compile_eval]
  if search.moves_arch:
    compilers.append(compile_arch)
  first = with_structure(search, state)
  compiled = [compiler(first) for compiler in compilers]
  functions: list[Any] = compiled
  if search.recompiles:
    functions = [
      _PerStructure(search, first, compiler, program, believe)
      for compiler, program in zip(compilers, compiled, strict=True)
    ]
    functions[1] = functions[1].evaluate
  programs = Programs(
    arch_step=(
      functools.partial(functions[2], base_key) if search.moves_arch else None
    ),
    weight_step=functools.partial(functions[0], base_key),
    evaluate=functions[1],
    believe=believe,
    after_epoch=jax.jit(make_after_epoch(search)),
    sample=make_sample(search),
  )
  return programs, stage.peak_bytes(*compiled)


def with_structure(search: steps.Search, state: SearchState) -> steps.Search:
  """The search whose steps compute the cell that a state derives.

  It is unchanged unless its steps are compiled for one derived cell each.
  """
  if not search.recompiles:
    return search
  belief = make_believe(search)(state.arch, state.memory, state.step)
  assert belief.transit is not None
  structure = supernet.freeze(jax.device_get(belief.transit))
  return search._replace(structure=structure)


class _PerStructure:
  """A program compiled for each derived cell, kept for when it comes again."""

  def __init__(self, search, first, compiler, program, believe) -> None:
    self._search = search
    self._compile = compiler
    self._programs = {first.structure: program}
    self._believe = believe

  def __call__(self, key: jax.Array, state: SearchState, batch: Any) -> Any:
    """A step on the cell derived from the state."""
    transit = self._believe(state.arch, state.memory, state.step).transit
    return self._program(transit)(key, state, batch)

  def evaluate(self, params, batch_stats, weights, transit, batch, mask) -> Any:
    """The sums of a batch for a given cell."""
    program = self._program(transit)
    return program(params, batch_stats, weights, None, batch, mask)

  def _program(self, transit: CellWeights) -> Any:
    structure = supernet.freeze(jax.device_get(transit))
    if structure not in self._programs:
      search = self._search._replace(structure=structure)
      self._programs[structure] = self._compile(search)
    return self._programs[structure]


def describe(state: SearchState) -> SearchState:
  """Shapes, types and places of a state's leaves, to compile for."""
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=leaf.sharding
    ),
    state,
  )


def belief_of(programs: Programs, state: SearchState) -> Belief:
  """What the method believed in the last step, on the host."""
  return jax.device_get(
    programs.believe(state.arch, state.memory, state.step - 1)
  )
