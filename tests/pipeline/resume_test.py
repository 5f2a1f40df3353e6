"""A run that is killed and started again is the run that was never killed."""

import shutil

import pytest

from jnas.pipeline import evaluate, search
from tests.pipeline import tiny

# With a checkpoint after every step, and with one at the end of an epoch only.
ALWAYS, SELDOM = 1e-9, 3600.0


@pytest.mark.parametrize(
  ("seconds", "events"),
  [
    # Within an epoch, back to its beginning.
    (SELDOM, ["search: step 2", "search: step 5"]),
    # Within an epoch, on from there; a save cut short; a record without state.
    (ALWAYS, ["search: saved 2", "search: tear 3", "search: wrote epoch 1"]),
    # Before there is any checkpoint.
    (SELDOM, ["search: tear header", "search: tear epoch 0", "search: save 3"]),
    # After the last one.
    (SELDOM, ["search: saved 6", "wrote genotype", "search: tear summary"]),
  ],
)
def test_a_killed_search_ends_as_if_it_had_not_been(
  reference, tmp_path, run_killed, seconds, events
):
  config = tiny.get_config(checkpoint_seconds=seconds)
  run_killed(lambda: search.run(config, tmp_path), *events)
  assert tiny.results(tmp_path) == tiny.results(reference, "search")


@pytest.mark.parametrize(
  "events",
  [
    ["evaluate: step 5", "evaluate: tear summary", "random_0: tear header"],
    ["evaluate: wrote epoch 0", "random_0: tear 3", "random_0: wrote epoch 1"],
  ],
)
def test_a_killed_evaluation_ends_as_if_it_had_not_been(
  reference, tmp_path, run_killed, events
):
  workdir = tmp_path / "run"
  shutil.copytree(reference, workdir, ignore=shutil.ignore_patterns("evaluate"))
  run_killed(lambda: evaluate.run(tiny.get_config(), workdir), *events)
  assert tiny.results(workdir) == tiny.results(reference)


def test_an_evaluation_killed_within_an_epoch_goes_on_from_there(
  reference, tmp_path, run_killed
):
  config = tiny.get_config(checkpoint_seconds=ALWAYS)
  genotype = search.run(tiny.get_config(), reference).genotype
  run_killed(
    lambda: evaluate.run(config, tmp_path, genotype=genotype),
    *("evaluate: saved 2", "random_0: saved 5"),
  )
  stages = tiny.STAGES[1:]
  got, wanted = (tiny.results(path, *stages) for path in (tmp_path, reference))
  # A genotype that was given is of step 0.
  assert got["genotype"].pop("provenance")["step"] == 0
  wanted["genotype"].pop("provenance")
  assert got == wanted


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
  reference, tmp_path
):
  for seed in (0, 1):
    search.run(tiny.with_seed(seed), tmp_path / str(seed))
  wanted, same, other = (
    tiny.results(path, "search")
    for path in (reference, tmp_path / "0", tmp_path / "1")
  )
  assert same == wanted
  assert other["search"]["state"] != wanted["search"]["state"]
  assert other["search"]["metrics"][1] != wanted["search"]["metrics"][1]


def test_a_finished_run_is_returned_as_it_is(reference, on_event):
  events = []
  on_event(events.append)
  before = {
    path: path.stat().st_mtime_ns for path in sorted(reference.rglob("*"))
  }
  found = search.run(tiny.get_config(), reference)
  trained = evaluate.run(tiny.get_config(), reference)
  assert found.summary["steps"] == trained.summary["steps"] == 6
  assert len(trained.baselines) == 1
  assert events == []
  assert before == {
    path: path.stat().st_mtime_ns for path in sorted(reference.rglob("*"))
  }
