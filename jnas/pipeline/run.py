"""All stages of a run, one after the other."""

import pathlib

from jnas import bench
from jnas import config as configs
from jnas.pipeline import (
  display,
  evaluate,
  lookup,
  networks,
  problem,
  search,
  select,
  selecting,
)
from jnas.report import page
from jnas.training import processes


def run(config: configs.Config, workdir: str | pathlib.Path) -> pathlib.Path:
  """Searches, selects, evaluates and reports; continues a stopped run.

  Args:
    config: of the run.
    workdir: the run folder.

  Returns:
    The report's page.

  Raises:
    ValueError: for bad input, before anything is compiled or written.
    stage.Stopped: if a signal asked to stop; the state is saved.
  """
  check(config)
  genotype = search.run(config, workdir).genotype
  if selecting.after(config):
    genotype = select.run(config, workdir).genotype
  result = evaluate.run(config, workdir)
  path = pathlib.Path(
    processes.from_first(lambda: str(page.write(pathlib.Path(workdir))))
  )
  accuracy = result.summary["test_accuracy"]
  display.say(f"searched cell, retrained: test accuracy {accuracy:.2%}")
  for index, baseline in enumerate(result.baselines):
    accuracy = baseline["test_accuracy"]
    display.say(f"random cell {index}, alike: test accuracy {accuracy:.2%}")
  table = lookup.load(config)
  if table is not None:
    told = "; ".join(
      f"{name} {score.accuracy:.2f}%, rank {score.rank:,}"
      for name, score in bench.lookup(table, genotype).scores.items()
    )
    display.say(f"cell found, by the table: {told}")
  display.say(f"report: {path}")
  return path


def check(config: configs.Config) -> None:
  """Checks what the last stage needs before the first one takes hours.

  Raises:
    ValueError: for bad input.
  """
  found = problem.prepare(config)
  networks.check_evaluate(found)
  select.check(found)
