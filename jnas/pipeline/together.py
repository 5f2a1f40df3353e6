"""Several seeds searched at once: which runs, and what is left of each.

While they run, their states are saved in a folder of all of them; at the end
each seed has the run folder that a search of its own would have left, which
all later stages read. `mapped` has the program.
"""

import contextlib
import pathlib
import shutil
from collections.abc import Sequence

import jax

from jnas import config as configs
from jnas.data.base import Split
from jnas.pipeline import (
  folder,
  latency,
  lookup,
  mapped,
  networks,
  problem,
  search,
  selecting,
  stage,
)
from jnas.training import preemption, sharding

# In the search's folder of the first seed, while all are searched.
_SHARED = "together"


def run(
  seeded: Sequence[configs.Config], workdirs: Sequence[str | pathlib.Path]
) -> None:
  """Searches with several seeds at once, or continues.

  Each seed finds what a search of its own finds, up to rounding, and has a run
  folder like it. Those that are finished are left out.

  Args:
    seeded: configs that differ in the seed alone.
    workdirs: the run folder of each.

  Raises:
    ValueError: for bad input, before anything is compiled or written.
    stage.Stopped: if a signal asked to stop; the states are saved.
  """
  lookup.load(seeded[0])
  runs = [
    folder.open_run(config, workdir)
    for config, workdir in zip(seeded, workdirs, strict=True)
  ]
  runs.sort(key=lambda each: each.config.seed)
  if group := _group(runs):
    _run(group)
  else:
    _clear(runs)  # what a kill at the very end has left


def check(found: problem.Problem, number: int) -> None:
  """Refuses what cannot be mapped over seeds.

  Args:
    found: the problem of one of them.
    number: of seeds.

  Raises:
    ValueError: with the reason.
  """
  config = found.config
  reasons = {
    f"method {config.method.name!r} trains one network after another": (
      found.method.trains_candidates
    ),
    f"progressive.cells is {config.progressive.cells}, a search in stages": (
      bool(config.progressive.cells)
    ),
    f"method {config.method.name!r} with selection 'perturbation' tries its "
    "decisions one by one": selecting.inside(config),
    "supernet.transit is 'recompile', a program for each derived cell": (
      networks.options(found).has_transit
      and config.supernet.transit == "recompile"
    ),
    "latencies are measured during the search": (
      latency.check(found) is not None
    ),
    f"there are {jax.process_count()} processes": jax.process_count() > 1,
  }
  for reason, holds in reasons.items():
    if holds:
      raise ValueError(f"--vmap: {reason}; leave --vmap out")
  devices = len(sharding.devices())
  if number % devices:
    raise ValueError(
      f"--vmap: {number} seeds cannot be divided between {devices} devices; "
      f"give a multiple of {devices} seeds, or --devices"
    )


def _group(runs: Sequence[folder.RunFolder]) -> list[folder.RunFolder]:
  """The runs to search together: those begun so, or those not finished.

  Args:
    runs: by seed.

  Raises:
    ValueError: if searches were begun otherwise.
  """
  todo = [each for each in runs if search.finished(each) is None]
  for each in todo:
    if seeds := folder.read_together(each):
      group = [other for other in runs if other.config.seed in seeds]
      outside = [other for other in todo if other not in group]
      if len(group) < len(seeds) or outside:
        raise ValueError(
          f"{each.search} is part of a search of the seeds "
          f"{' '.join(map(str, seeds))} at once; give the same --seeds to "
          "continue it, or use another --workdir"
        )
      return group
    if (each.search / "metrics.jsonl").exists():
      raise ValueError(
        f"{each.search} holds a search that was begun alone; finish it "
        "without --vmap, or use another --workdir"
      )
  return todo


def _clear(runs: Sequence[folder.RunFolder]) -> None:
  """Removes what finished seeds shared, unless others still need it."""
  known = {each.config.seed for each in runs}
  for each in runs:
    if known.issuperset(folder.read_together(each)):
      shutil.rmtree(each.search / _SHARED, ignore_errors=True)
      each.together.unlink(missing_ok=True)


def _run(runs: Sequence[folder.RunFolder]) -> None:
  """Checks, searches or continues, and gives each seed its folder."""
  founds = []
  for each in runs:
    folder.check_searchable(each)
    founds.append(search.prepare(each.config))
  check(founds[0], len(runs))
  dataset = problem.load_data(founds[0])
  if not isinstance(dataset.train, Split):
    raise ValueError(
      "--vmap: images are read one by one during the search; set "
      "data.stream=off, or leave --vmap out"
    )
  for each in runs:
    each.create()
  with contextlib.ExitStack() as stack:
    for each in runs:
      stack.enter_context(each.locked())
    if _group(runs) != list(runs):
      raise ValueError(
        f"{runs[0].path} and the others were searched by another command "
        "meanwhile; give the command again"
      )
    for each in runs:
      if not each.together.exists() and search.finished(each) is None:
        each.search.mkdir(exist_ok=True)
        seeds = [other.config.seed for other in runs]
        folder.write_json(each.together, {"seeds": seeds})
    stop = stack.enter_context(preemption.StopFlag())
    mapped.run(founds, dataset, runs, runs[0].search / _SHARED, stop)
    _clear(runs)
    if stop.requested:  # since the last save
      raise stage.Stopped("the searches are done; the same command continues")
