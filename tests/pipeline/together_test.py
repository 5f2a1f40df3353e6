"""Seeds searched in one program find what each of them finds alone."""

import dataclasses
import json
import pathlib

import pytest

from jnas import config as configs
from jnas.pipeline import evaluate, folder, search, together
from tests.pipeline import tiny
from tests.pipeline.conftest import Killed
from tests.pipeline.devices_test import assert_same, run
from tests.pipeline.methods_test import config_of


def search_together(
  config: configs.Config, path: pathlib.Path, seeds: tuple[int, ...]
) -> list[pathlib.Path]:
  """The run folders of the seeds."""
  workdirs = [path / str(seed) for seed in seeds]
  together.run(
    [dataclasses.replace(config, seed=seed) for seed in seeds], workdirs
  )
  return workdirs


def test_each_seed_has_the_folder_of_a_run_of_its_own(reference, tmp_path):
  first, other = search_together(tiny.get_config(), tmp_path / "all", (0, 5))
  search.run(tiny.with_seed(5), tmp_path / "alone")
  assert_same(first, reference, "search")
  assert_same(other, tmp_path / "alone", "search")
  # The stages that follow find all that they need.
  evaluate.run(tiny.get_config(), first)
  assert_same(first, reference)


@pytest.mark.parametrize(
  ("method", "fields"),
  [
    ("sgas", {}),
    (
      "entrannas",
      {"supernet": configs.SupernetConfig(engine="first")},
    ),
  ],
)
def test_methods_that_remember_or_skip_find_the_same(method, fields, tmp_path):
  config = config_of(method, **fields)
  workdirs = search_together(config, tmp_path / "all", (0, 1))
  for seed, workdir in enumerate(workdirs):
    alone = tmp_path / str(seed)
    search.run(dataclasses.replace(config, seed=seed), alone)
    assert_same(workdir, alone, "search")


def test_killed_at_any_moment_all_seeds_end_with_the_same_bits(
  tmp_path, run_killed
):
  config = tiny.get_config(checkpoint_seconds=1e-9)
  whole = search_together(config, tmp_path / "whole", (0, 1))
  run_killed(
    lambda: search_together(config, tmp_path / "killed", (0, 1)),
    *("search_of_2_seeds: saved 2", "together: wrote epoch 0"),
    *("search: write epoch 0", "search: tear summary", "write genotype"),
    *("search: wrote summary", "search: wrote header"),
  )
  for workdir in whole:
    killed = tmp_path / "killed" / workdir.name
    assert tiny.results(killed) == tiny.results(workdir)
    assert not (killed / "search" / "together").exists()


def test_devices_share_the_seeds(reference, tmp_path, compile_cache):
  path = tmp_path / "run"
  run(
    compile_cache,
    *("search", "--seeds", "0", "1", "--vmap", "--devices", "2"),
    *("--workdir", str(path)),
  )
  assert_same(tmp_path / "run-s0", reference, "search")


def test_seeds_that_are_under_way_together_stay_together(tmp_path, on_event):
  config = tiny.get_config(checkpoint_seconds=1e-9)

  def run_seeds(*seeds):
    return search_together(config, tmp_path, seeds)

  def kill(event):
    if event == "search_of_2_seeds: saved 2":
      raise Killed

  on_event(kill)
  with pytest.raises(Killed):
    run_seeds(0, 1)
  on_event(lambda event: None)
  said = "is part of a search of the seeds 0 1 at once; give the same --seeds"
  for seeds in ((1,), (1, 2), (0, 2)):
    with pytest.raises(ValueError, match=said):
      run_seeds(*seeds)
  with pytest.raises(ValueError, match="--seeds 0 1 --vmap continues it"):
    search.run(dataclasses.replace(config, seed=1), tmp_path / "1")
  workdirs = run_seeds(1, 0)  # in any order
  for workdir in workdirs:
    assert search.finished(folder.open_made(workdir)) is not None
    assert {item.name for item in (workdir / "search").iterdir()} == {
      "checkpoints",
      "metrics.jsonl",
    }


def test_a_search_that_was_begun_alone_is_not_taken_over(tmp_path):
  (tmp_path / "1" / "search").mkdir(parents=True)
  (tmp_path / "1" / "search" / "metrics.jsonl").write_text("")
  with pytest.raises(ValueError, match="begun alone"):
    search_together(tiny.get_config(), tmp_path, (0, 1))


def test_finished_seeds_are_left_as_they_are(tmp_path):
  config = tiny.get_config()
  before = search_together(config, tmp_path, (0, 1))
  whole = [tiny.results(workdir) for workdir in before]
  # As a kill within the last clean-up leaves it.
  (before[0] / "search" / "together").mkdir()
  for workdir in before:
    file = folder.open_made(workdir).together
    file.write_text(json.dumps({"seeds": [0, 1]}))
  search_together(config, tmp_path, (0, 1))
  assert [tiny.results(workdir) for workdir in before] == whole
  assert not (before[0] / "search" / "together").exists()


def test_a_table_that_is_not_there_is_refused_before_the_search(tmp_path):
  config = dataclasses.replace(
    tiny.get_config(), benchmark=configs.BenchmarkConfig(str(tmp_path / "no"))
  )
  with pytest.raises((FileNotFoundError, ValueError)):
    search_together(config, tmp_path / "runs", (0, 1))
  assert not (tmp_path / "runs").exists()
