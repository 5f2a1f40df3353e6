"""A finished search taken over from another run: one supernet, many selections.

Source: PT (arXiv:2108.04392), Algorithm 1, which begins with a trained
supernet.
"""

import dataclasses
import pathlib
import shutil

from jnas import config as configs
from jnas import genotype as genotypes
from jnas.pipeline import (
  display,
  epochs,
  folder,
  networks,
  problem,
  search,
  select,
  selecting,
  tuning,
)
from jnas.training import metrics, processes


def search_hash(config: configs.Config) -> str:
  """Equal for two configs only if they search alike, before a selection."""
  return configs.fingerprint(_searching(config))


def take(
  config: configs.Config,
  workdir: str | pathlib.Path,
  giver: str | pathlib.Path,
) -> None:
  """Makes the finished search of another run the search of this one.

  A run that has taken it over already stays as it is.

  Args:
    config: of this run, which selects after its search.
    workdir: its run folder.
    giver: the other run's folder, which is only read. Its config is the same
      but for `name`, `selection` and `benchmark`.

  Raises:
    ValueError: for a config without a selection after the search, or another
      search than the giver's, naming the fields; for a run folder that has
      another search, or is in use; for a giver whose last checkpoint is
      damaged; before anything is written.
    folder.OtherConfigError: if the run folder is of another config.
    FileNotFoundError: if the giver's search is not finished.
  """
  run_folder = folder.open_run(config, workdir)
  giver = pathlib.Path(giver)
  if search.finished(run_folder) is not None:
    _check_taken(run_folder, giver)
    return
  given = folder.open_made(giver)
  found = _check(run_folder, given)
  summary = folder.summary(given.search)
  genotype = folder.find_genotype(given.search_genotype)
  if summary is None or genotype is None:
    raise FileNotFoundError(f"no finished search in {str(given.path)!r}")
  trained = tuning.searched(found, problem.load_data(found), given)
  steps = summary["steps"]
  if int(trained.step) != steps:
    raise ValueError(
      f"the checkpoint of step {steps} in {given.search} is damaged; that of "
      f"step {int(trained.step)} is not the end of its search"
    )
  run_folder.create()
  # Whole or not at all: what a kill leaves is not where a search would be.
  made = run_folder.path / ".search.partial"

  def begin() -> None:
    _check_unsearched(run_folder)  # by now another command may have searched
    if made.exists():
      shutil.rmtree(made)

  def finish() -> None:
    folder.save_genotype(
      made / run_folder.search_genotype.name,
      genotype,
      provenance=folder.provenance(run_folder, steps),
    )
    _write_records(made, given)
    made.rename(run_folder.search)

  with run_folder.locked():
    processes.from_first(begin)
    with epochs.open_checkpoints(made, run_folder.hash) as checkpoints:
      checkpoints.save(steps, trained, {"seconds": summary["seconds"]})
    processes.from_first(finish)
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
        "while it searches: such a search is neither given nor taken over"
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
  folder.check_alone(run_folder)
  processes.from_first(lambda: _check_unsearched(run_folder))
  found = problem.prepare(config)
  select.check(found)
  networks.search_net(found)
  problem.check_devices(config)
  return found


def _check_unsearched(run_folder: folder.RunFolder) -> None:
  """Refuses a run that has begun to search for itself."""
  if run_folder.search.exists():
    raise ValueError(
      f"{run_folder.path} has a search of its own under way; `jnas search` "
      "continues it, or use another --workdir"
    )


def _check_taken(run_folder: folder.RunFolder, giver: pathlib.Path) -> None:
  """Refuses a run whose finished search is not that giver's."""
  taken = folder.header(run_folder.search).get("taken_from")
  if taken is None:
    raise ValueError(
      f"{run_folder.path} has finished a search of its own: leave --from out, "
      "or use another --workdir"
    )
  if taken["run"] != processes.from_first(lambda: str(giver.resolve())):
    raise ValueError(
      f"{run_folder.path} has the search of {taken['run']}, not of {giver}; "
      "use another --workdir"
    )


def _searching(config: configs.Config) -> configs.Config:
  """The config without what a search does not depend on."""
  return dataclasses.replace(
    config, name="", selection=configs.SelectionConfig()
  )


def _write_records(made: pathlib.Path, given: folder.RunFolder) -> None:
  """The giver's records, with a note on whose they are."""
  header, *rows = metrics.MetricsFile(given.search / "metrics.jsonl").read()
  origin = genotypes.read_provenance(given.search_genotype)
  taken = {
    "run": str(given.path.resolve()),
    "config_hash": given.hash,
    "code_version": origin.get("code_version"),
  }
  file = metrics.MetricsFile(made / "metrics.jsonl")
  for row in ({**header, "taken_from": taken}, *rows):
    file.write(row)
