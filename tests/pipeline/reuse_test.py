"""A search taken over: what a selection makes of it, and what is refused."""

import dataclasses
import json
import pathlib
import shutil

import pytest

from jnas import config as configs
from jnas.pipeline import claims, folder, reuse, search, select
from jnas.training import metrics
from tests.pipeline import tiny, tiny_selection

NO_SELECTION = configs.SelectionConfig()


def giver_config():
  return dataclasses.replace(
    tiny_selection.get_config(), name="giver", selection=NO_SELECTION
  )


@pytest.fixture(scope="module")
def giver(tmp_path_factory, compile_cache):
  """The run folder of a finished search alone."""
  workdir = tmp_path_factory.mktemp("giver")
  search.run(giver_config(), workdir)
  return workdir


def test_a_selection_from_it_is_that_of_a_search_of_its_own(
  giver, selected, tmp_path
):
  config = tiny_selection.get_config()
  reuse.take(config, tmp_path, giver)
  select.run(config, tmp_path)
  found, own = (
    tiny.results(path, "search", "selection") for path in (tmp_path, selected)
  )
  header = found["search"]["metrics"][0]
  assert header.pop("taken_from") == {
    "run": str(giver),
    "config_hash": configs.fingerprint(giver_config()),
  }
  assert found == own
  assert not list(tmp_path.glob("**/*.partial"))


def test_what_a_kill_left_of_it_is_made_again(giver, tmp_path, monkeypatch):
  class Killed(BaseException):
    pass

  def kill(*_):
    raise Killed

  config = tiny_selection.get_config()
  with monkeypatch.context() as patched, pytest.raises(Killed):
    patched.setattr(pathlib.Path, "rename", kill)
    reuse.take(config, tmp_path, giver)
  assert not (tmp_path / "search").exists()
  for _ in range(2):  # and again: what is there stays
    reuse.take(config, tmp_path, giver)
  assert folder.summary(tmp_path / "search")["steps"] == 3
  assert not (tmp_path / ".search.partial").exists()


def refused(match, giver, workdir, error=ValueError, **changes):
  config = dataclasses.replace(tiny_selection.get_config(), **changes)
  before = sorted(workdir.rglob("*"))
  with pytest.raises(error, match=match):
    reuse.take(config, workdir, giver)
  assert sorted(workdir.rglob("*")) == before


def test_another_search_is_refused_by_the_field(giver, tmp_path):
  refused("seed is 0 there and 1 here; only name", giver, tmp_path, seed=1)
  refused("selection.name is 'none'", giver, tmp_path, selection=NO_SELECTION)
  refused(
    r"'sgas' with selection .* selects while it searches",
    giver,
    tmp_path,
    method=configs.MethodConfig(name="sgas"),
  )


def test_a_giver_has_to_have_searched(giver, tmp_path):
  refused("no run in", tmp_path / "none", tmp_path, FileNotFoundError)
  begun, taker = tmp_path / "begun", tmp_path / "taker"
  shutil.copytree(giver, begun)
  taker.mkdir()
  metrics.MetricsFile(begun / "search" / "metrics.jsonl").truncate_after(3)
  refused("no finished search in", begun, taker, FileNotFoundError)
  # Nor does who has begun a search of its own get another.
  content = json.loads((begun / "config.json").read_text())
  config = dataclasses.asdict(tiny_selection.get_config())
  del config["benchmark"]
  (begun / "config.json").write_text(json.dumps(content | {"config": config}))
  refused("a search of its own under way", giver, begun)


def test_claims_search_once_for_all_selections():
  wanted = {}
  for arm in ("s2_darts", "s2_pt", "s2_pt_frozen", "s2_pt_mag", "s4_pt"):
    for seed in (0, 1):
      task = claims.Task(arm, seed, None, True, False, False)
      config = dataclasses.replace(configs.load(f"claims/{arm}"), seed=seed)
      wanted[task.folder] = {task: config}
  assert claims._givers(wanted) == {
    f"{arm}-s{seed}": f"s2_darts-s{seed}"
    for arm in ("s2_pt", "s2_pt_mag")
    for seed in (0, 1)
  }
