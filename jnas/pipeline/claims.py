"""The papers' claims at small scale, on real images: run, judged, tabulated.

A claim compares arms, each a config under `configs/claims`, over seeds: what
the arm finds by search and training, or what the claim measures of it. A claim
that does not hold here is reported like one that does.

Source: SPEC 5.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import rich.box
import rich.table

from jnas import bench
from jnas import config as configs
from jnas.genotype import Genotype
from jnas.pipeline import (
  arms,
  display,
  evaluate,
  folder,
  jobs,
  lock,
  records,
  reuse,
  search,
  select,
  selecting,
)
from jnas.pipeline.verdicts import CLAIMS, Claim, Measure
from jnas.training.metrics import MetricsFile

_HOLDS = {True: "yes", False: "no", None: "not judged"}


class Task(NamedTuple):
  """What is wanted of an arm with a seed.

  Attributes:
    arm: name of its config, without "claims/".
    seed: of the run.
    measure: what measures it; None for its search, selection and training.
    retrains: whether the network of the cells is trained from scratch.
    looks_up: whether the cells are looked up in NAS-Bench-201.
    alone: whether time is measured, so that nothing may run beside it.
  """

  arm: str
  seed: int
  measure: Measure | None
  retrains: bool
  looks_up: bool
  alone: bool

  @property
  def folder(self) -> str:
    """Name of the run folder."""
    return f"{self.arm}-s{self.seed}"


def run(
  names: Sequence[str],
  *,
  source: str,
  seeds: Sequence[int],
  workdir: pathlib.Path,
  epochs: int | None,
  quick: bool = False,
  table: str = "",
  at_once: int = 1,
) -> list[dict[str, Any]]:
  """Runs the arms of claims, or continues, and judges them.

  Args:
    names: of `CLAIMS`; if there are none, all that can be judged.
    source: the data, as `data.source`.
    seeds: each arm is run with each.
    workdir: holds a run folder for each arm and seed, and claims.json.
    epochs: of each search, instead of the configs'; None for theirs.
    quick: whether to use few images and epochs, to see that everything runs.
    table: the user's table of NAS-Bench-201, for the claims that need it.
    at_once: arms that run at a time, each in a process with its share of the
      cores and its output in logs/. If 1, and where time is measured, they
      run in this process, on all cores.

  Returns:
    A row for each claim: claim, statement, paper, ours, holds, seeds; `holds`
    is None where it is not judged.

  Raises:
    ValueError: for a name that is unknown, a claim without the table that it
      needs, a file that is no table, more runs at a time than there are cores,
      or a workdir in use, before anything runs; and what a run raises.
    FileNotFoundError: for a table that is not there.
    stage.Stopped: if a signal asked to stop; the same command continues.
  """
  chosen = _choose(names, table)
  jobs.check(at_once)
  wanted: dict[str, dict[Task, configs.Config]] = {}
  for name in chosen:
    for task in _tasks(name, seeds):
      # What is wanted in one run folder is done one after the other.
      wanted.setdefault(task.folder, {})[task] = arms.config_of(
        task.arm,
        source,
        seed=task.seed,
        epochs=epochs,
        quick=quick,
        table=table if task.looks_up else "",
      )
  workdir.mkdir(parents=True, exist_ok=True)
  with lock.hold(workdir):
    found = _do(wanted, workdir, at_once)
    rows = [_judged(name, seeds, found) for name in chosen]
    folder.write_json(workdir / "claims.json", rows)
  return rows


def show(rows: Sequence[Mapping[str, Any]]) -> None:
  """Prints the table for people."""
  table = rich.table.Table(box=rich.box.SIMPLE, show_lines=True)
  for title in ("claim", "statement", "paper", "ours", "holds"):
    table.add_column(title)
  for row in rows:
    table.add_row(
      row["claim"],
      row["statement"],
      row["paper"],
      row["ours"],
      _HOLDS[row["holds"]],
    )
  display.CONSOLE.print(table)


def record(
  config: configs.Config,
  path: pathlib.Path,
  *,
  retrains: bool,
  giver: pathlib.Path | None = None,
) -> dict[str, Any]:
  """Runs an arm with a seed, or continues, and says what came out.

  Args:
    config: of the run.
    path: its run folder.
    retrains: whether the network of the cells is trained from scratch.
    giver: run folder whose finished search is this one's too, unless this one
      has begun to search; None for none.

  Returns:
    The last epoch's record of the search, where there were epochs;
    `first_mixing`, the mixing weights when they were first measured;
    `found_ops`, how often each operation is in the cells found, by cell type;
    `trajectory`, the supernet's accuracy after each decision of a selection;
    `test_accuracy` of the retrained network; `benchmark`, what
    benchmark.json holds.
  """
  if giver is not None and not (path / "search").exists():
    reuse.take(config, path, giver)
  genotype: Genotype = search.run(config, path).genotype
  found = dict(epochs[-1]) if (epochs := _epochs(path / "search")) else {}
  measured_at = [epoch["mixing"] for epoch in epochs if "mixing" in epoch]
  if measured_at:
    found["first_mixing"] = measured_at[0]
  if selecting.after(config):
    genotype = select.run(config, path).genotype
    found["trajectory"] = [
      row["valid_accuracy"]
      for row in _epochs(path / "selection")
      if "valid_accuracy" in row  # the last epoch of a decision's tuning
    ]
  found["found_ops"] = {
    name: records.op_counts(cell) for name, cell in genotype.cells().items()
  }
  if retrains:
    found["test_accuracy"] = evaluate.run(config, path).summary["test_accuracy"]
  if config.benchmark.table:
    text = folder.open_run(config, path).benchmark.read_text(encoding="utf-8")
    found["benchmark"] = json.loads(text)
  return found


def measured(
  measure: Measure, config: configs.Config, path: pathlib.Path
) -> dict[str, Any]:
  """Measures an arm, once: what came out stays in the run folder.

  Args:
    measure: of the arm.
    config: of the run.
    path: its run folder.

  Returns:
    What the measure returns, as it is in measures/NAME.json.
  """
  run_folder = folder.open_run(config, path)
  file = path / "measures" / f"{measure.__name__}.json"
  if not file.exists():
    run_folder.create()
    found = measure(config, path)
    file.parent.mkdir(exist_ok=True)
    folder.write_json(file, found)
  return json.loads(file.read_text(encoding="utf-8"))


def do(
  wanted: Mapping[Task, configs.Config],
  path: pathlib.Path,
  giver: pathlib.Path | None,
) -> dict[Task, dict[str, Any]]:
  """Does what is wanted in a run folder, or continues.

  Args:
    wanted: the tasks, with the config of each.
    path: the run folder.
    giver: the one whose search is this one's too; None for none.

  Returns:
    The record of each task.
  """
  return {
    task: measured(task.measure, config, path)
    if task.measure
    else record(config, path, retrains=task.retrains, giver=giver)
    for task, config in wanted.items()
  }


def _tasks(name: str, seeds: Sequence[int]) -> list[Task]:
  """What a claim wants, arm by arm and seed by seed."""
  claim = CLAIMS[name]
  return [
    Task(
      arm,
      seed,
      measure=claim.measures.get(arm),
      retrains=claim.retrains,
      looks_up=claim.needs_table,
      alone=claim.alone,
    )
    for arm in claim.arms
    for seed in _seeds(claim, seeds)
  ]


def _seeds(claim: Claim, seeds: Sequence[int]) -> list[int]:
  return list(seeds if claim.seeded else seeds[:1])


def _do(
  wanted: Mapping[str, Mapping[Task, configs.Config]],
  workdir: pathlib.Path,
  at_once: int,
) -> dict[Task, dict[str, Any]]:
  """What came out of each task, of all run folders."""
  together = [
    name
    for name, tasks in wanted.items()
    if at_once > 1 and not any(task.alone for task in tasks)
  ]
  givers = _givers(wanted)

  def arguments(name: str) -> tuple[Any, ...]:
    giver = workdir / givers[name] if name in givers else None
    return wanted[name], workdir / name, giver

  records = jobs.run(
    do,
    [
      jobs.Job(name, arguments(name), after=givers.get(name))
      for name in together
    ],
    at_once=at_once,
    logs=workdir / "logs",
  )
  records += [do(*arguments(name)) for name in wanted if name not in together]
  return {task: row for found in records for task, row in found.items()}


def _givers(
  wanted: Mapping[str, Mapping[Task, configs.Config]],
) -> dict[str, str]:
  """By run folder, an earlier one with the same search, to be taken over."""
  first: dict[str, str] = {}
  found = {}
  for name, tasks in wanted.items():
    for task, config in tasks.items():
      if task.measure or selecting.inside(config):
        continue
      giver = first.setdefault(reuse.search_hash(config), name)
      if giver != name and selecting.after(config):
        found[name] = giver
  return found


def _judged(
  name: str, seeds: Sequence[int], found: Mapping[Task, dict[str, Any]]
) -> dict[str, Any]:
  """The row of a claim."""
  claim, own_seeds = CLAIMS[name], _seeds(CLAIMS[name], seeds)
  records: dict[str, list[dict[str, Any]]] = {}
  for task in _tasks(name, seeds):
    records.setdefault(task.arm, []).append(found[task])
  for toy, solve in claim.toys.items():
    records[toy] = [solve(seed) for seed in own_seeds]
  verdict = claim.judge(records)
  return {
    "claim": name,
    "statement": claim.statement,
    "paper": claim.paper,
    "ours": verdict.ours,
    "holds": verdict.holds,
    "seeds": own_seeds,
  }


def _epochs(stage: pathlib.Path) -> list[dict[str, Any]]:
  """The records of a stage's epochs."""
  rows = MetricsFile(stage / "metrics.jsonl").read()
  return [row for row in rows if row["kind"] == "epoch"]


def _choose(names: Sequence[str], table: str) -> list[str]:
  """The claims to judge, of those that there are."""
  for name in names:
    if name not in CLAIMS:
      raise ValueError(
        f"unknown claim {name!r}; known claims: {', '.join(CLAIMS)}"
      )
    if CLAIMS[name].needs_table and not table:
      raise ValueError(
        f"claim {name} without --table: give your table of NAS-Bench-201"
      )
  if table:
    bench.load(table)  # a bad file is refused before hours of search
  if names:
    return list(names)
  left_out = [
    name for name, claim in CLAIMS.items() if claim.needs_table and not table
  ]
  if left_out:
    display.say(f"left out without --table: {', '.join(left_out)}")
  return [name for name in CLAIMS if name not in left_out]
