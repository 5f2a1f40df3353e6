"""The selection stage: a trained supernet to a genotype.

Source: PT (arXiv:2108.04392), Algorithms 1 and 2; Li and Talwalkar
(arXiv:1902.07638), Sec. 4, for sampled cells; SPEC 3.6 and 3.10.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jnas import config as configs
from jnas import genotype as genotypes
from jnas.data.base import Dataset
from jnas.genotype import Genotype
from jnas.pipeline import (
  deciding,
  display,
  folder,
  problem,
  programs,
  records,
  sampling,
  scoring,
  stage,
  tuning,
)
from jnas.pipeline import journal as journals
from jnas.pipeline import search as search_stage
from jnas.selection import magnitude, perturbation
from jnas.training import (
  keys,
  memory,
  metrics,
  preemption,
  sharding,
  steps,
  trials,
)
from jnas.training.keys import Purpose
from jnas.training.state import SearchState, SelectionState


@dataclasses.dataclass(frozen=True)
class SelectResult:
  """What a selection found.

  Attributes:
    genotype: the cells.
    summary: the last record of selection/metrics.jsonl.
  """

  genotype: Genotype
  summary: dict[str, Any]


def run(config: configs.Config, workdir: str | pathlib.Path) -> SelectResult:
  """Selects, or continues a selection, or returns one that is finished.

  Args:
    config: of the run, whose search is finished.
    workdir: the run folder.

  Returns:
    The genotype, also in genotype.json, and the summary.

  Raises:
    ValueError: for bad input, before anything is compiled or written.
    FileNotFoundError: if the search is not finished.
    stage.Stopped: if a signal asked to stop; the state is saved.
  """
  run_folder = folder.open_run(config, workdir)
  finished = folder.summary(run_folder.selection)
  if finished is not None and run_folder.genotype.exists():
    return SelectResult(genotypes.load(run_folder.genotype), finished)
  if config.selection.name == "none":
    raise ValueError(
      "selection.name is 'none': the search's genotype is the result; to "
      "select, it must be 'perturbation', 'magnitude' or 'sampled'"
    )
  found = problem.prepare(config)
  check(found)
  problem.search_net(found)
  problem.check_devices(config)
  folder.check_searchable(run_folder)
  if folder.summary(run_folder.search) is None:
    raise FileNotFoundError(
      f"no finished search in {str(run_folder.path)!r}: run `jnas search` first"
    )
  dataset = problem.load_data(found)
  with run_folder.locked(), preemption.StopFlag() as stop:
    result = _select(found, dataset, run_folder, stop)
    if stop.requested:  # since the last save
      raise stage.Stopped("the selection is done; the same command continues")
  return result


def check(found: problem.Problem) -> None:
  """Refuses what a selection cannot work with; all is well without one.

  Raises:
    ValueError: with the reason.
  """
  config = found.config
  if config.selection.name == "none":
    return
  if config.supernet.engine != "all":
    raise ValueError(
      f"selection.name is {config.selection.name!r} and supernet.engine is "
      f"{config.supernet.engine!r}: Transit-cells have no mixing weights to "
      "try; supernet.engine must be 'all'"
    )
  if found.space.chain and config.selection.name != "sampled":
    raise ValueError(
      f"selection.name is {config.selection.name!r} in a chain of layers, "
      "which has no cells; selection.name must be 'none' or 'sampled'"
    )
  if config.progressive.cells:
    raise ValueError(
      f"selection.name is {config.selection.name!r} with a search in stages: "
      "their last space is not that of the config; progressive.cells must be "
      "empty"
    )
  sharding.check_batch("selection.batch_size", _batch_size(found))


def make_scorer(
  found: problem.Problem,
  search: steps.Search,
  state: SearchState,
  valid: stage.Placed,
  varied: Sequence[str],
) -> tuple[scoring.Scorer, jax.stages.Compiled]:
  """The compiled call of trials in which these cell types differ."""
  config, space = found.config.selection, found.space
  num_images = valid.data.labels.shape[0]
  order = trials.order(
    keys.key_for(tuning.base_key(found), Purpose.TRIAL_ORDER),
    num_images,
    min(config.batch_size, num_images),
  )
  placed = jax.device_put(order, state.step.sharding)
  weights = {}
  for name in space.cell_types:
    lead = (config.trials_per_call,) if name in varied else ()
    weights[name] = jnp.zeros((*lead, *space.mask(name).shape))
  inputs = jax.device_put(
    (
      weights,
      valid.data,
      placed,
      trials.zero_sums(config.trials_per_call),
      jnp.zeros((), jnp.int32),
    ),
    state.step.sharding,
  )
  call = stage.compile_step(
    f"trials ({', '.join(varied)})",
    trials.make_trials(
      search,
      varied=varied,
      batch_statistics=config.batch_statistics,
      sharding=valid.sharding,
    ),
    state.params,
    state.batch_stats,
    *inputs,
  )
  scorer = scoring.Scorer(
    call,
    tuple(varied),
    config.trials_per_call,
    len(order.index),
    valid.data,
    placed,
  )
  return scorer, call


def _select(
  found: problem.Problem,
  dataset: Dataset,
  run_folder: folder.RunFolder,
  stop: preemption.StopFlag,
) -> SelectResult:
  config, space = found.config.selection, found.space
  _, num_epochs = perturbation.tasks(space, tune_epochs=config.tune_epochs)
  settings = tuning.settings_of(found, num_epochs)
  search = tuning.make(found, dataset, settings)
  trained = tuning.searched(found, dataset, run_folder)
  net, train, valid = stage.place(
    tuning.begin(search, trained),
    *search_stage.split(found, dataset),
    batch_size=found.config.search.batch_size,
  )
  base_key = tuning.base_key(found)
  compiled, peak_bytes = programs.compile_programs(
    search, base_key, net, train.first()
  )
  varied = {
    "perturbation": [(name,) for name in space.cell_types],
    "sampled": [space.cell_types],
    "magnitude": [],
  }[config.name]
  scorers = {}
  for names in varied:
    scorer, call = make_scorer(found, search, net, valid, names)
    scorers[names[0]] = scorer
    peak_bytes = max(peak_bytes, stage.peak_bytes(call))
  if config.name == "sampled":
    num_events = scorers[space.cell_types[0]].calls(config.num_samples)
  else:
    num_events = deciding.num_events(
      space, config, scorers, search.steps_per_epoch
    )
  state = _begin(found, net)
  part = tuning.Tuning(search, settings, compiled, base_key, train, valid)
  with journals.open_journal(
    run_folder.selection,
    state,
    title=f"select {found.config.name}",
    num_events=num_events,
    config_hash=run_folder.hash,
    header=records.header(found),
    stop=stop,
    checkpoint_seconds=config.checkpoint_seconds,
  ) as journal:
    state = state if journal.restored is None else journal.restored
    if config.name == "sampled":
      (scorer,) = scorers.values()
      state, genotype = sampling.run(found, scorer, journal, state, base_key)
    else:
      parts = deciding.Deciding(space, config, part, scorers)
      state = deciding.run(parts, journal, state)
      made = jax.device_get(state.search.memory.decisions)
      genotype = perturbation.genotype(made, space)
    measured = _child(part, state.search, genotype)
    summary = _summary(found, state, genotype, measured) | {
      "peak_bytes": peak_bytes,
      "rss_bytes": memory.rss_peak_bytes(),
      "seconds": journal.seconds,
    }
  genotypes.save(
    run_folder.genotype,
    genotype,
    provenance=folder.provenance(run_folder, journal.count),
  )
  if not problem.parametric_ops(genotype):
    display.warn("no operation of the selected cells has weights to train")
  metrics.MetricsFile(run_folder.selection / "metrics.jsonl").write(summary)
  return SelectResult(genotype, summary)


def _begin(found: problem.Problem, net: SearchState) -> SelectionState:
  """The state before the first trial."""
  config, space = found.config.selection, found.space
  candidates = max(space.num_ops, space.num_inputs + space.num_nodes)
  if config.name == "sampled":
    candidates = config.num_samples
  state = SelectionState(
    *(jnp.zeros((), jnp.int32) for _ in range(4)),
    scores=jnp.zeros((candidates, 2), jnp.float32),
    sums=trials.zero_sums(config.trials_per_call),
    search=net,
  )
  return jax.device_put(state, net.step.sharding)


def _child(
  part: tuning.Tuning, net: SearchState, genotype: Genotype
) -> metrics.Means:
  """The supernet under the weights of a genotype, not trained for it."""
  weights = jax.device_put(
    magnitude.chosen_weights(genotype, part.search.space), net.step.sharding
  )
  return tuning.measure(part, net, weights)


def _summary(
  found: problem.Problem,
  state: SelectionState,
  genotype: Genotype,
  measured: metrics.Means,
) -> dict[str, Any]:
  cells: Mapping[str, genotypes.Cell] = genotype.cells()
  return {
    "kind": "summary",
    "selection": found.config.selection.name,
    "child_accuracy": measured.accuracy,
    "child_loss": measured.loss,
    "genotype": genotypes.to_dict(genotype),
    "op_counts": {name: records.op_counts(cells[name]) for name in cells},
    "decisions": int(state.decided),
    "tuning_steps": int(state.search.step),
  }


def _batch_size(found: problem.Problem) -> int:
  """Images in a batch of a trial: all of them where there are fewer."""
  return min(found.config.selection.batch_size, found.num_valid)
