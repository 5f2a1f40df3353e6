"""The search stage: config to genotype.

Source: DARTS, Algorithm 1; SPEC 3.0 and 3.1.
"""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnas import config as configs
from jnas import genotype as genotypes
from jnas import methods
from jnas.data import loader
from jnas.data.base import Dataset, Split
from jnas.functional import mixing
from jnas.genotype import Genotype
from jnas.nets import count
from jnas.ops import draws
from jnas.pipeline import display, epochs, folder, problem, stage
from jnas.selection import magnitude
from jnas.spaces import SKIP, Space
from jnas.training import keys, memory, metrics, optim, preemption, steps
from jnas.training.keys import Purpose, Stage
from jnas.training.state import SearchState
from jnas.types import CellWeights


@dataclasses.dataclass(frozen=True)
class SearchResult:
  """What a search found.

  Attributes:
    genotype: the derived cells.
    summary: the last record of search/metrics.jsonl.
  """

  genotype: Genotype
  summary: dict[str, Any]


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


def run(config: configs.Config, workdir: str | pathlib.Path) -> SearchResult:
  """Searches, or continues a search, or returns one that is finished.

  Args:
    config: of the run.
    workdir: the run folder.

  Returns:
    The genotype, also in genotype.json, and the summary.

  Raises:
    ValueError: for bad input, before anything is compiled or written.
    stage.Stopped: if a signal asked to stop; the state is saved.
  """
  run_folder = folder.open_run(config, workdir)
  finished = folder.summary(run_folder.search)
  if finished is not None and run_folder.search_genotype.exists():
    return SearchResult(genotypes.load(run_folder.search_genotype), finished)
  folder.check_searchable(run_folder)
  found = problem.prepare(config)
  problem.search_net(found)
  problem.check_devices(config)
  dataset = problem.load_data(found)
  run_folder.create()
  with run_folder.locked(), preemption.StopFlag() as stop:
    result = _search(found, dataset, run_folder, stop)
    if stop.requested:  # since the last save
      raise stage.Stopped("the search is done; the same command continues")
  return result


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


def split(found: problem.Problem, dataset: Dataset) -> tuple[Split, Split]:
  """Images for the weights, images for the architecture; never test images."""
  if dataset.valid is not None:
    return dataset.train, dataset.valid
  key = keys.key_for(keys.base(found.config.seed, Stage.SEARCH), Purpose.SPLIT)
  parts = loader.bilevel_split(
    key, len(dataset.train), 1 - found.config.data.valid_fraction
  )
  train, valid = (
    Split(dataset.train.images[index], dataset.train.labels[index])
    for index in parts
  )
  return train, valid


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


def _search(
  found: problem.Problem,
  dataset: Dataset,
  run_folder: folder.RunFolder,
  stop: preemption.StopFlag,
) -> SearchResult:
  config = found.config.search
  search = make(found, dataset)
  base_key = keys.base(found.config.seed, Stage.SEARCH)
  splits = split(found, dataset)
  state, train, valid = stage.place(
    init_state(search, base_key, dataset.image_shape),
    *splits,
    batch_size=config.batch_size,
  )
  programs, peak_bytes = compile_programs(
    search, base_key, state, train.first()
  )

  def batches(epoch: int, start: int) -> Iterator[tuple[Any, Any, bool]]:
    moves_arch = programs.arch_step is not None and epoch >= config.arch_warmup
    train_order, valid_order = orders(
      search, base_key, epoch, [len(part) for part in splits], config.batch_size
    )
    return zip(
      train.batches(train_order, start=start),
      valid.batches(valid_order, start=start),
      itertools.repeat(moves_arch, len(train_order) - start),
      strict=True,
    )

  def advance(state: SearchState, given: Any) -> tuple[SearchState, jax.Array]:
    train_batch, valid_batch, moves_arch = given
    if moves_arch and programs.arch_step is not None:
      state = programs.arch_step(state, (train_batch, valid_batch))
    return programs.weight_step(state, train_batch)

  def finish(
    state: SearchState, epoch: int
  ) -> tuple[SearchState, dict[str, Any]]:
    record = _train_record(found, state, epoch)
    memory = programs.after_epoch(state.arch, state.memory, state.step - 1)
    state = state._replace(memory=memory)
    last = epoch == config.epochs - 1
    if last or (epoch + 1) % config.valid_every == 0:
      record |= _valid_record(found, programs, state, valid)
    sums = jax.device_put(metrics.zero_sums(), state.step.sharding)
    return state._replace(sums=sums), record

  course = epochs.Epochs(
    title=f"search {found.config.name}",
    num_epochs=config.epochs,
    steps_per_epoch=search.steps_per_epoch,
    images_per_step=(1 + search.moves_arch) * config.batch_size,
    batches=batches,
    advance=advance,
    finish=finish,
    line=_line,
  )
  state, last, seconds = epochs.run(
    course,
    state,
    path=run_folder.search,
    config_hash=run_folder.hash,
    header=_header(found),
    stop=stop,
    checkpoint_seconds=config.checkpoint_seconds,
  )
  genotype = found.selector(_belief(programs, state).decided, found.space)
  genotypes.save(
    run_folder.search_genotype,
    genotype,
    provenance=folder.provenance(run_folder, course.num_steps),
  )
  if not problem.parametric_ops(genotype):
    display.warn(
      "no operation of the derived cells has weights to train: the search "
      "collapsed to skips and pools"
    )
  repeated = ("valid_accuracy", "child_accuracy", "gap", "train_accuracy")
  summary = {
    "kind": "summary",
    **{name: last[name] for name in repeated},
    "genotype": genotypes.to_dict(genotype),
    "epochs": config.epochs,
    "steps": course.num_steps,
    "params": count.count_params(state.params),
    "peak_bytes": peak_bytes,
    "rss_bytes": memory.rss_peak_bytes(),
    "seconds": seconds,
  }
  metrics.MetricsFile(run_folder.search / "metrics.jsonl").write(summary)
  return SearchResult(genotype, summary)


def orders(
  search: steps.Search,
  base_key: jax.Array,
  epoch: int,
  sizes: Sequence[int],
  batch_size: int,
) -> tuple[np.ndarray, np.ndarray]:
  """The order of training and of validation images in an epoch.

  There is one validation batch for each training batch; a validation split
  with fewer whole batches is passed over several times, each time shuffled
  anew.
  """
  num_train, num_valid = sizes
  per_pass = loader.steps_per_epoch(num_valid, batch_size)
  passes = -(-search.steps_per_epoch // per_pass)
  train_key = keys.key_for(base_key, Purpose.TRAIN_ORDER, epoch)
  valid_orders = [
    loader.epoch_order(
      keys.key_for(base_key, Purpose.VALID_ORDER, epoch * passes + index),
      num_valid,
      batch_size,
    )
    for index in range(passes)
  ]
  return (
    loader.epoch_order(train_key, num_train, batch_size),
    np.concatenate(valid_orders)[: search.steps_per_epoch],
  )


def _header(found: problem.Problem) -> dict[str, Any]:
  edges = [list(edge) for edge in found.space.edges]
  return {
    "edges": {name: edges for name in found.space.cell_types},
    "ops": dict(found.space.ops),
    "split_sizes": {"train": found.num_train, "valid": found.num_valid},
  }


def _belief(programs: Programs, state: SearchState) -> Belief:
  """What the method believed in the last step, on the host."""
  return jax.device_get(
    programs.believe(state.arch, state.memory, state.step - 1)
  )


def _train_record(
  found: problem.Problem, state: SearchState, epoch: int
) -> dict[str, Any]:
  means = metrics.mean(state.sums)
  config = found.config.search
  moving = epoch - config.arch_warmup
  waits = moving < 0 or problem.scheme(found) == "frozen"
  return {
    "train_loss": means.loss,
    "train_accuracy": means.accuracy,
    "weights_lr": float(optim.weights_lr(config, jnp.asarray(epoch))),
    "arch_lr": 0.0
    if waits
    else float(optim.arch_lr(config, jnp.asarray(moving))),
  }


def _valid_record(
  found: problem.Problem,
  programs: Programs,
  state: SearchState,
  valid: stage.Placed,
) -> dict[str, Any]:
  """Supernet and child on the validation split, and what the cells hold."""
  belief = _belief(programs, state)
  weights = belief.probs
  genotype = found.selector(belief.decided, found.space)
  child = magnitude.chosen_weights(genotype, found.space)

  def measure(weights: Any, transit: Any) -> metrics.Means:
    placed = jax.device_put((weights, transit), state.step.sharding)
    return stage.measure(
      functools.partial(
        programs.evaluate, state.params, state.batch_stats, *placed
      ),
      valid,
    )

  supernet_means = measure(weights, belief.transit)
  child_means = measure(child, None if belief.transit is None else child)
  cells = {"normal": genotype.normal, "reduce": genotype.reduce}
  counts = {name: op_counts(cells[name]) for name in found.space.cell_types}
  return {
    "valid_loss": supernet_means.loss,
    "valid_accuracy": supernet_means.accuracy,
    "child_loss": child_means.loss,
    "child_accuracy": child_means.accuracy,
    "gap": supernet_means.accuracy - child_means.accuracy,
    "entropy": _entropies(weights, found.space),
    "op_counts": counts,
    "skip_share": {
      name: ops.get(SKIP, 0) / max(sum(ops.values()), 1)
      for name, ops in counts.items()
    },
    **belief.report,
    "mixing": weights,
    "genotype": genotypes.to_dict(genotype),
  }


def op_counts(cell: genotypes.Cell | None) -> dict[str, int]:
  """How often each operation occurs in a cell."""
  names = [name for node in cell.nodes for name, _ in node] if cell else []
  return {name: names.count(name) for name in sorted(set(names))}


def _entropies(weights: CellWeights, space: Space) -> dict[str, float]:
  return {
    name: float(
      mixing.relative_entropy(
        jnp.asarray(weights[name]), jnp.asarray(space.mask(name))
      )
    )
    for name in space.cell_types
  }


def _line(record: dict[str, Any]) -> str:
  line = f"train {record['train_accuracy']:.1%}"
  if "valid_accuracy" not in record:
    return line
  return (
    f"{line}, valid {record['valid_accuracy']:.1%}, "
    f"child {record['child_accuracy']:.1%}"
  )
