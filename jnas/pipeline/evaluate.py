"""The evaluation stage: a genotype's network trained from scratch.

Source: DARTS, Sec. 3.2; SPEC 3.1, column "evaluation CIFAR".
"""

import dataclasses
import functools
import pathlib
from typing import Any

from jnas import config as configs
from jnas.data.base import Dataset
from jnas.genotype import Genotype
from jnas.pipeline import (
  folder,
  networks,
  problem,
  programs,
  supernets,
  training,
)
from jnas.selection import random as random_selection
from jnas.training import keys, preemption, processes
from jnas.training.keys import Purpose, Stage
from jnas.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class EvaluateResult:
  """What the training of derived networks gave.

  Attributes:
    summary: the last record of evaluate/metrics.jsonl.
    baselines: those of the random genotypes.
  """

  summary: dict[str, Any]
  baselines: tuple[dict[str, Any], ...]


def run(
  config: configs.Config,
  workdir: str | pathlib.Path,
  *,
  genotype: Genotype | None = None,
) -> EvaluateResult:
  """Trains the derived network and the random baselines, or continues.

  Args:
    config: of the run.
    workdir: the run folder.
    genotype: what to train; None for the one that the search found.

  Returns:
    Results on the test split.

  Raises:
    ValueError: for bad input, before anything is compiled or written.
    FileNotFoundError: without a genotype.
    stage.Stopped: if a signal asked to stop; the state is saved.
  """
  run_folder = folder.open_run(config, workdir)
  genotype = choose(run_folder, genotype)
  found = problem.prepare(config)
  networks.check_evaluate(found)
  networks.derived_net(found, genotype)
  problem.check_devices(config)
  if config.evaluate.inherit:
    supernets.check(run_folder)
  paths = _paths(run_folder)
  if any(folder.summary(path) is None for path in paths):
    dataset = problem.load_data(found)
    run_folder.create()
    with run_folder.locked(), preemption.StopFlag() as stop:
      if folder.find_genotype(run_folder.genotype) is None:
        folder.save_genotype(
          run_folder.genotype,
          genotype,
          provenance=folder.given(run_folder, genotype),
        )
      for path, (name, candidate) in zip(
        paths, _candidates(found, genotype), strict=True
      ):
        if folder.summary(path) is None:
          _train(found, dataset, run_folder, path, name, candidate, stop)
  summaries = [folder.summary(path) for path in paths]
  first, *rest = [summary for summary in summaries if summary is not None]
  return EvaluateResult(first, tuple(rest))


def choose(run_folder: folder.RunFolder, genotype: Genotype | None) -> Genotype:
  """The genotype given, or the run's; they must not contradict each other.

  Raises:
    ValueError: if they do.
    FileNotFoundError: if there is none.
  """
  if genotype is None:
    return folder.load_genotype(run_folder)
  there = folder.find_genotype(run_folder.genotype)
  if there not in (None, genotype):
    raise ValueError(
      f"{run_folder.genotype} holds another genotype; use another --workdir"
    )
  return genotype


def _paths(run_folder: folder.RunFolder) -> list[pathlib.Path]:
  """The folder of each network to train, the searched one first."""
  count = run_folder.config.evaluate.random_baselines
  names = [f"random_{index}" for index in range(count)]
  return [run_folder.evaluate, *(run_folder.evaluate / name for name in names)]


def _candidates(
  found: problem.Problem, genotype: Genotype
) -> list[tuple[str, Genotype]]:
  """Name and genotype of each network to train, in the order of `_paths`."""
  key = keys.base(found.config.seed, Stage.EVALUATE)
  drawn = [
    random_selection.sample(
      keys.key_for(key, Purpose.RANDOM_GENOTYPE, index), found.space
    )
    for index in range(found.config.evaluate.random_baselines)
  ]
  return [
    ("searched", genotype),
    *((f"random {index}", cells) for index, cells in enumerate(drawn)),
  ]


def _train(
  found: problem.Problem,
  dataset: Dataset,
  run_folder: folder.RunFolder,
  path: pathlib.Path,
  name: str,
  genotype: Genotype,
  stop: preemption.StopFlag,
) -> None:
  """Trains one of the networks; the searched one may inherit weights."""
  begin = None
  if path == run_folder.evaluate:
    if found.config.evaluate.inherit:
      begin = functools.partial(_inherit, found, dataset, run_folder, genotype)
  elif processes.is_first() and not (path / "genotype.json").exists():
    path.mkdir(parents=True, exist_ok=True)
    provenance = folder.provenance(run_folder, 0)
    folder.save_genotype(path / "genotype.json", genotype, provenance)
  training.run(
    found,
    dataset,
    genotype,
    path=path,
    name=name,
    config_hash=run_folder.hash,
    stop=stop,
    begin=begin,
  )


def _inherit(
  found: problem.Problem,
  dataset: Dataset,
  run_folder: folder.RunFolder,
  genotype: Genotype,
  state: TrainState,
) -> TrainState:
  """Starts from the supernet's weights; scales stay 1 and shifts 0."""
  search = programs.make(found, dataset)
  supernet = supernets.final(found, dataset, run_folder)
  child: Any = found.family.derived(
    genotype,
    networks.search_plan(found),
    False,
    found.family.child_settings(found.space),
  )
  inherited = found.family.inherit(
    {"params": supernet.params, "batch_stats": supernet.batch_stats},
    search.net,
    child,
  )
  return state._replace(
    params=_overlay(state.params, inherited["params"]),
    batch_stats=_overlay(state.batch_stats, inherited["batch_stats"]),
  )


def _overlay(base: Any, top: Any) -> Any:
  """`base` with the leaves that `top` also has."""
  if not isinstance(base, dict):
    return top
  return {
    key: _overlay(value, top[key]) if key in top else value
    for key, value in base.items()
  }
