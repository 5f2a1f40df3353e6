"""A finished search taken over from another run: one supernet, many selections.

Source: PT (arXiv:2108.04392), Algorithm 1, which begins with a trained
supernet.
"""

import dataclasses
import pathlib
import shutil

from jnas import config as configs
from jnas.pipeline import (
  display,
  epochs,
  folder,
  problem,
  search,
  select,
  selecting,
  tuning,
)
from jnas.training import metrics, processes


def search_hash(config: configs.Config) -> str:
  """The same for configs whose searches, before a selection, are the same."""
  return configs.fingerprint(_searching(config))


def take(
  config: configs.Config,
  workdir: str | pathlib.Path,
  giver: str | pathlib.Path,
) -> None:
  """Makes the finished search of another run the search of this one.

  A run whose search is finished already stays as it is.

  Args:
    config: of this run, which selects after its search.
    workdir: its run folder.
    giver: the other run's folder, which is only read. Its config is the same
      but for `name`, `selection` and `benchmark`.

  Raises:
    ValueError: for a config without a selection after the search, or another
      search than the giver's, naming the fields; for a search under way in
      the run folder; before anything is written.
    FileNotFoundError: if the giver's search is not finished.
  """
  run_folder = folder.open_run(config, workdir)
  if search.finished(run_folder) is not None:
    display.say(f"the search in {run_folder.path} is finished already")
    return
  given = folder.open_made(pathlib.Path(giver))
  found = _check(run_folder, given)
  summary = folder.summary(given.search)
  genotype = folder.find_genotype(given.search_genotype)
  if summary is None or genotype is None:
    raise FileNotFoundError(f"no finished search in {str(given.path)!r}")
  trained = tuning.searched(found, problem.load_data(found), given)
  run_folder.create()
  with run_folder.locked():
    # Whole or not at all: what a kill leaves is not where a search would be.
    made = run_folder.path / ".search.partial"
    processes.from_first(lambda: shutil.rmtree(made, ignore_errors=True))
    with epochs.open_checkpoints(made, run_folder.hash) as checkpoints:
      checkpoints.save(
        summary["steps"], trained, {"seconds": summary["seconds"]}
      )
    folder.save_genotype(
      made / run_folder.search_genotype.name,
      genotype,
      provenance=folder.provenance(run_folder, summary["steps"]),
    )
    processes.from_first(lambda: _finish(made, run_folder, given))
  display.say(f"search taken over from {given.path}")


def _check(
  run_folder: folder.RunFolder, given: folder.RunFolder
) -> problem.Problem:
  """The problem, if a selection can go on from the giver's search."""
  config = run_folder.config
  for one in (config, given.config):
    if selecting.inside(one):
      raise ValueError(
        f"method {one.method.name!r} with selection 'perturbation' selects "
        "while it searches: its search cannot be taken over"
      )
  if not selecting.after(config):
    raise ValueError(
      "selection.name is 'none'; to select from another run's search, it must "
      "be 'perturbation', 'magnitude' or 'sampled'"
    )
  different = folder.differences(_searching(given.config), _searching(config))
  if different:
    raise ValueError(
      f"the search in {given.path} is another: {'; '.join(different)}; only "
      "name, selection and benchmark may differ"
    )
  folder.check_searchable(run_folder)
  if processes.from_first(run_folder.search.exists):
    raise ValueError(
      f"{run_folder.path} has a search of its own under way; `jnas search` "
      "continues it, or use another --workdir"
    )
  found = search.prepare(config)
  select.check(found)
  return found


def _searching(config: configs.Config) -> configs.Config:
  """The config without what a search does not depend on."""
  return dataclasses.replace(
    config, name="", selection=configs.SelectionConfig()
  )


def _finish(
  made: pathlib.Path, run_folder: folder.RunFolder, given: folder.RunFolder
) -> None:
  """The giver's records, with a note on whose they are, and the rename."""
  header, *rows = metrics.MetricsFile(given.search / "metrics.jsonl").read()
  taken = {"run": str(given.path.resolve()), "config_hash": given.hash}
  file = metrics.MetricsFile(made / "metrics.jsonl")
  for row in ({"taken_from": taken, **header}, *rows):
    file.write(row)
  made.rename(run_folder.search)
