"""The selection stage: a trained supernet to a genotype.

Source: PT (arXiv:2108.04392), Algorithms 1 and 2; Li and Talwalkar
(arXiv:1902.07638), Sec. 4, for sampled cells; SPEC 3.6 and 3.10.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jnas import config as configs
from jnas import genotype as genotypes
from jnas.data import placing
from jnas.data.base import Dataset
from jnas.genotype import Genotype
from jnas.pipeline import (
  deciding,
  display,
  folder,
  lookup,
  networks,
  problem,
  programs,
  records,
  sampling,
  scoring,
  selecting,
  stage,
  supernets,
  tuning,
)
from jnas.pipeline import journal as journals
from jnas.pipeline import search as search_stage
from jnas.pipeline.journal import Journal
from jnas.selection import magnitude, perturbation
from jnas.training import (
  memory,
  metrics,
  preemption,
  sharding,
  steps,
)
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
  table = lookup.load(config)
  result = _finished(run_folder) or _run(config, run_folder)
  lookup.tell(table, run_folder)
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
  if found.method.decides_edges and config.selection.name == "magnitude":
    raise ValueError(
      f"selection.name is 'magnitude' with method {config.method.name!r}, "
      "whose edges are decided when its search ends; selection.name must be "
      "'none', 'perturbation' or 'sampled'"
    )
  if found.space.chain and config.selection.name != "sampled":
    raise ValueError(
      f"selection.name is {config.selection.name!r} in a chain of layers, "
      "which has no cells; selection.name must be 'none' or 'sampled'"
    )
  if found.space.every_edge and config.selection.none_edge != "removed":
    raise ValueError(
      f"selection.none_edge is {config.selection.none_edge!r} in space "
      f"{config.space!r}, whose cells keep every edge; it must be 'removed'"
    )
  if config.progressive.cells:
    raise ValueError(
      f"selection.name is {config.selection.name!r} with a search in stages: "
      "their last space is not that of the config; progressive.cells must be "
      "empty"
    )
  sharding.check_batch("selection.batch_size", _batch_size(found))


class _Plan(NamedTuple):
  """How one kind of selection goes.

  Attributes:
    num_events: events of the whole stage, for the progress.
    find: `(journal, state) -> (state, genotype, fields of the summary)`.
    peak_bytes: compiled peak memory.
  """

  num_events: int
  find: Callable[
    [Journal, SelectionState], tuple[SelectionState, Genotype, dict[str, Any]]
  ]
  peak_bytes: int


def _finished(run_folder: folder.RunFolder) -> SelectResult | None:
  summary = folder.summary(run_folder.selection)
  genotype = folder.find_genotype(run_folder.genotype)
  if summary is None or genotype is None:
    return None
  return SelectResult(genotype, summary)


def _run(config: configs.Config, run_folder: folder.RunFolder) -> SelectResult:
  """Checks, and selects or continues."""
  if config.selection.name == "none":
    raise ValueError(
      "selection.name is 'none': the search's genotype is the result; to "
      "select, it must be 'perturbation', 'magnitude' or 'sampled'"
    )
  if selecting.inside(config):
    raise ValueError(
      f"method {config.method.name!r} with selection 'perturbation' selects "
      "while it searches: run `jnas search`, whose genotype is the result"
    )
  found = problem.prepare(config)
  check(found)
  networks.search_net(found)
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


def _select(
  found: problem.Problem,
  dataset: Dataset,
  run_folder: folder.RunFolder,
  stop: preemption.StopFlag,
) -> SelectResult:
  config = found.config.selection
  _, num_epochs = perturbation.tasks(
    found.space, tune_epochs=config.tune_epochs
  )
  settings = tuning.settings_of(found, num_epochs)
  search = tuning.make(found, dataset, settings)
  trained = tuning.searched(found, dataset, run_folder)
  net, train, valid = stage.place(
    tuning.begin(search, trained),
    *search_stage.split(found, dataset),
    batch_size=found.config.search.batch_size,
  )
  if config.name == "sampled":
    plan = _plan_sampled(found, search, net, valid)
  else:
    plan = _plan_decided(found, search, settings, net, train, valid)
  state = supernets.begin_selection(found, net)
  with journals.open_journal(
    run_folder.selection,
    state,
    title=f"select {found.config.name}",
    num_events=plan.num_events,
    config_hash=run_folder.hash,
    header=records.header(found),
    stop=stop,
    checkpoint_seconds=config.checkpoint_seconds,
  ) as journal:
    state = state if journal.restored is None else journal.restored
    state, genotype, fields = plan.find(journal, state)
    summary = {
      "kind": "summary",
      "selection": config.name,
      **fields,
      "genotype": genotypes.to_dict(genotype),
      "op_counts": {
        name: records.op_counts(cell) for name, cell in genotype.cells().items()
      },
      "tuning_steps": int(state.search.step),
      "peak_bytes": plan.peak_bytes,
      "rss_bytes": memory.rss_peak_bytes(),
      "seconds": journal.seconds,
      "devices": jax.device_count(),
    }
  folder.save_genotype(
    run_folder.genotype,
    genotype,
    provenance=folder.provenance(run_folder, journal.count),
  )
  if not networks.parametric_ops(genotype):
    display.warn("no operation of the selected cells has weights to train")
  metrics.MetricsFile(run_folder.selection / "metrics.jsonl").write(summary)
  return SelectResult(genotype, summary)


def _plan_sampled(
  found: problem.Problem,
  search: steps.Search,
  net: SearchState,
  valid: stage.Placed,
) -> _Plan:
  scorer, call = scoring.make_scorer(
    found, search, net, valid, found.space.cell_types
  )

  def find(journal: Journal, state: SelectionState) -> Any:
    return sampling.run(found, scorer, journal, state, tuning.base_key(found))

  return _Plan(
    scorer.calls(found.config.selection.num_samples),
    find,
    stage.peak_bytes(call),
  )


def _plan_decided(
  found: problem.Problem,
  search: steps.Search,
  settings: configs.SearchConfig,
  net: SearchState,
  train: stage.Placed,
  valid: stage.Placed,
) -> _Plan:
  config, space = found.config.selection, found.space
  base_key = tuning.base_key(found)
  compiled, peak_bytes = programs.compile_programs(
    search, base_key, net, train.first()
  )
  scorers = {}
  if config.name == "perturbation":
    for name in space.cell_types:
      scorers[name], call = scoring.make_scorer(
        found, search, net, valid, (name,)
      )
      peak_bytes = max(peak_bytes, stage.peak_bytes(call))
  part = tuning.Tuning(search, settings, compiled, base_key, train, valid)
  parts = deciding.Deciding(space, config, part, scorers)

  def find(journal: Journal, state: SelectionState) -> Any:
    state = deciding.run(parts, journal, state)
    made = jax.device_get(state.search.memory.decisions)
    genotype = perturbation.genotype(made, space, none_edge=config.none_edge)
    weights = placing.put(
      magnitude.chosen_weights(genotype, space), state.search.step.sharding
    )
    measured = tuning.measure(part, state.search, weights)
    return (
      state,
      genotype,
      {
        "child_accuracy": measured.accuracy,
        "child_loss": measured.loss,
        "decisions": int(state.decided),
      },
    )

  num_events = deciding.num_events(
    space, config, scorers, search.steps_per_epoch
  )
  return _Plan(num_events, find, peak_bytes)


def _batch_size(found: problem.Problem) -> int:
  """Images in a batch of a trial: all of them where there are fewer."""
  return min(found.config.selection.batch_size, found.num_valid)
