"""The search stage: config to genotype.

Source: DARTS, Algorithm 1; SPEC 3.0 and 3.1.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jnas import config as configs
from jnas import genotype as genotypes
from jnas.data import loader, placing
from jnas.data.base import AnySplit, Dataset
from jnas.genotype import Genotype
from jnas.nets import count
from jnas.pipeline import (
  candidates,
  display,
  epochs,
  folder,
  inside,
  latency,
  lookup,
  networks,
  orders,
  problem,
  progressive,
  records,
  selecting,
  stage,
)
from jnas.pipeline import programs as programs_of
from jnas.training import keys, memory, metrics, preemption, processes
from jnas.training.keys import Purpose, Stage
from jnas.training.state import SearchState


@dataclasses.dataclass(frozen=True)
class SearchResult:
  """What a search found.

  Attributes:
    genotype: the derived cells.
    summary: the last record of search/metrics.jsonl.
  """

  genotype: Genotype
  summary: dict[str, Any]


class Trained(NamedTuple):
  """A supernet at the end of its epochs.

  Attributes:
    selected: the genotype read off it.
    last: the record of the last epoch.
    epochs: passes over the training images.
    steps: weight steps done.
    params: weights of the supernet.
    peak_bytes: compiled peak memory.
    seconds: over all restarts.
  """

  selected: Genotype
  last: dict[str, Any]
  epochs: int
  steps: int
  params: int
  peak_bytes: int
  seconds: float


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
  table = lookup.load(config)
  result = finished(run_folder) or _run(config, run_folder)
  if not selecting.after(config):
    lookup.tell(table, run_folder)
  return result


def split(
  found: problem.Problem, dataset: Dataset
) -> tuple[AnySplit, AnySplit]:
  """Images for the weights, images for the architecture; never test images."""
  if dataset.valid is not None:
    return dataset.train, dataset.valid
  train, valid = (
    dataset.train.take(index)
    for index in divide(found.config, len(dataset.train))
  )
  return train, valid


def divide(
  config: configs.Config, num_examples: int
) -> tuple[np.ndarray, np.ndarray]:
  """Which training images the weights learn from, and which judge the cells."""
  key = keys.key_for(keys.base(config.seed, Stage.SEARCH), Purpose.SPLIT)
  return loader.bilevel_split(key, num_examples, 1 - config.data.valid_fraction)


def prepare(config: configs.Config) -> problem.Problem:
  """What a search is about, checked before anything is compiled or written.

  Raises:
    ValueError: for bad input.
  """
  found = problem.prepare(config)
  # Whether the method can search in the space; nothing is compiled.
  jax.eval_shape(
    lambda: found.method.init(
      found.settings, jax.random.key(config.seed), found.space
    )
  )
  networks.search_plan(found)
  networks.evaluate_plan(found)  # its costs are part of the search
  progressive.check(found)
  latency.check(found)
  problem.check_devices(config)
  return found


def finished(run_folder: folder.RunFolder) -> SearchResult | None:
  """What a search found that is finished, None if it is not."""
  summary = folder.summary(run_folder.search)
  genotype = folder.find_genotype(run_folder.search_genotype)
  if summary is None or genotype is None:
    return None
  return SearchResult(genotype, summary)


def _run(config: configs.Config, run_folder: folder.RunFolder) -> SearchResult:
  """Checks, and searches or continues."""
  folder.check_searchable(run_folder)
  folder.check_alone(run_folder)
  found = prepare(config)
  dataset = problem.load_data(found)
  run_folder.create()
  with run_folder.locked(), preemption.StopFlag() as stop:
    result = _search(found, dataset, run_folder, stop)
    if stop.requested:  # since the last save
      raise stage.Stopped("the search is done; the same command continues")
  return result


def _search(
  found: problem.Problem,
  dataset: Dataset,
  run_folder: folder.RunFolder,
  stop: preemption.StopFlag,
) -> SearchResult:
  """All stages of a search, and what they found."""
  if found.method.trains_candidates:
    return _try_candidates(found, dataset, run_folder, stop)
  last_stage = progressive.stages(found) - 1
  for index in range(last_stage):
    path = run_folder.search / f"stage_{index}"
    at_stage = progressive.at_stage(found, index)
    if folder.summary(path) is None:
      trained = _train(at_stage, dataset, path, run_folder.hash, stop)
      _write_summary(path, trained, trained.selected)
    file = metrics.MetricsFile(path / "metrics.jsonl")
    space = progressive.prune(
      found.space,
      # The record of the last epoch; the summary follows it.
      processes.from_first(lambda file=file: file.read()[-2]["mixing"]),
      num_ops=found.config.progressive.ops[index + 1],
    )
    found = dataclasses.replace(found, space=space)
  trained = _train(
    progressive.at_stage(found, last_stage),
    dataset,
    run_folder.search,
    run_folder.hash,
    stop,
  )
  return write_result(run_folder, trained)


def write_result(
  run_folder: folder.RunFolder, trained: Trained
) -> SearchResult:
  """Writes the genotype, then the summary that says the search is finished."""
  genotype = trained.selected
  folder.save_genotype(
    run_folder.search_genotype,
    genotype,
    provenance=folder.provenance(run_folder, trained.steps),
  )
  if not networks.parametric_ops(genotype):
    display.warn(
      "no operation of the derived cells has weights to train: the search "
      "collapsed to skips and pools"
    )
  return SearchResult(
    genotype, _write_summary(run_folder.search, trained, genotype)
  )


def _try_candidates(
  found: problem.Problem,
  dataset: Dataset,
  run_folder: folder.RunFolder,
  stop: preemption.StopFlag,
) -> SearchResult:
  genotype, summary = candidates.run(
    found,
    dataset,
    split(found, dataset),
    path=run_folder.search,
    config_hash=run_folder.hash,
    stop=stop,
  )
  folder.save_genotype(
    run_folder.search_genotype,
    genotype,
    provenance=folder.provenance(run_folder, summary["steps"]),
  )
  return SearchResult(genotype, summary)


def _write_summary(
  path: pathlib.Path, trained: Trained, genotype: Genotype
) -> dict[str, Any]:
  repeated = ("valid_accuracy", "child_accuracy", "gap", "train_accuracy")
  summary = {
    "kind": "summary",
    **{name: trained.last[name] for name in repeated},
    "genotype": genotypes.to_dict(genotype),
    "epochs": trained.epochs,
    "steps": trained.steps,
    "params": trained.params,
    "peak_bytes": trained.peak_bytes,
    "rss_bytes": memory.rss_peak_bytes(),
    "seconds": trained.seconds,
    "devices": jax.device_count(),
  }
  metrics.MetricsFile(path / "metrics.jsonl").write(summary)
  return summary


def _train(
  found: problem.Problem,
  dataset: Dataset,
  path: pathlib.Path,
  config_hash: str,
  stop: preemption.StopFlag,
) -> Trained:
  """Trains one supernet, or continues."""
  config = found.config.search
  search = programs_of.make(found, dataset)
  base_key = keys.base(found.config.seed, Stage.SEARCH)
  splits = split(found, dataset)
  state, train, valid = stage.place(
    programs_of.init_state(search, base_key, dataset.image_shape),
    *splits,
    batch_size=config.batch_size,
  )
  programs, peak_bytes = programs_of.compile_programs(
    search, base_key, state, train.first()
  )

  timer = latency.timer(found, search, base_key)
  decide_inside = inside.make(found, search, programs, state, valid)

  def batches(epoch: int, start: int) -> Iterator[tuple[Any, Any, bool]]:
    moves_arch = programs.arch_step is not None and epoch >= config.arch_warmup
    train_order, valid_order = orders.of_epoch(
      search, base_key, epoch, [len(part) for part in splits], config.batch_size
    )
    crop_keys = orders.crops(base_key, epoch)
    return zip(
      train.batches(train_order, start=start, crop_key=crop_keys[0]),
      # Not read where the architecture waits: nothing is decoded then.
      valid.batches(valid_order, start=start, crop_key=crop_keys[1])
      if moves_arch or isinstance(valid.data, loader.Resident)
      else itertools.repeat(None, len(train_order) - start),
      itertools.repeat(moves_arch, len(train_order) - start),
      strict=True,
    )

  def advance(state: SearchState, given: Any) -> tuple[SearchState, jax.Array]:
    train_batch, valid_batch, moves_arch = given
    if moves_arch and programs.arch_step is not None:
      if timer is not None:
        state = timer(state)
      state = programs.arch_step(state, (train_batch, valid_batch))
    return programs.weight_step(state, train_batch)

  def finish(
    state: SearchState, epoch: int
  ) -> tuple[SearchState, dict[str, Any]]:
    record = records.train_record(found, state, epoch)
    memory = programs.after_epoch(state.arch, state.memory, state.step - 1)
    if decide_inside is not None:
      memory = decide_inside(state, memory)
    state = state._replace(memory=memory)
    last = epoch == config.epochs - 1
    if last or (epoch + 1) % config.valid_every == 0:
      record |= records.valid_record(found, programs, state, valid)
    sums = placing.put(metrics.zero_sums(), state.step.sharding)
    return state._replace(sums=sums), record

  course = epochs.Epochs(
    title=f"search {found.config.name}",
    num_epochs=config.epochs,
    steps_per_epoch=search.steps_per_epoch,
    images_per_step=(1 + search.moves_arch) * config.batch_size,
    batches=batches,
    advance=advance,
    finish=finish,
    line=describe,
  )
  state, last, seconds = epochs.run(
    course,
    state,
    path=path,
    config_hash=config_hash,
    header=records.header(found),
    stop=stop,
    checkpoint_seconds=config.checkpoint_seconds,
  )
  return Trained(
    selected=records.select(
      found, programs_of.belief_of(programs, state).decided
    ),
    last=last,
    epochs=config.epochs,
    steps=course.num_steps,
    params=count.count_params(state.params),
    peak_bytes=peak_bytes,
    seconds=seconds,
  )


def describe(record: dict[str, Any]) -> str:
  """What people see of an epoch."""
  line = f"train {record['train_accuracy']:.1%}"
  if "valid_accuracy" not in record:
    return line
  return (
    f"{line}, valid {record['valid_accuracy']:.1%}, "
    f"child {record['child_accuracy']:.1%}"
  )
