"""A search taken over: what a selection makes of it, and what is refused."""

import dataclasses
import json
import pathlib
import shutil

import pytest

from jnas import cli
from jnas import config as configs
from jnas.pipeline import claims, folder, reuse, search, select
from jnas.training import checkpoint, metrics, processes
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
    "run": str(giver.resolve()),
    "config_hash": configs.fingerprint(giver_config()),
    "code_version": checkpoint.versions()["jnas"],
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
  refused("not of elsewhere", pathlib.Path("elsewhere"), tmp_path)
  assert folder.summary(tmp_path / "search")["steps"] == 3
  assert not (tmp_path / ".search.partial").exists()


def test_no_process_waits_for_another_while_that_one_waits_for_it(
  giver, tmp_path, monkeypatch
):
  inside = []

  def from_first(function):
    assert not inside  # two messages at once cannot be told apart
    inside.append(function)
    try:
      return function()
    finally:
      inside.pop()

  monkeypatch.setattr(processes, "from_first", from_first)
  for _ in range(2):
    reuse.take(tiny_selection.get_config(), tmp_path, giver)


def refused(match, giver, workdir, error=ValueError, **changes):
  config = dataclasses.replace(tiny_selection.get_config(), **changes)
  before = [sorted(path.rglob("*")) for path in (workdir, giver)]
  with pytest.raises(error, match=match):
    reuse.take(config, workdir, giver)
  assert [sorted(path.rglob("*")) for path in (workdir, giver)] == before


def test_another_search_is_refused_by_the_field(giver, tmp_path):
  refused("seed is 0 there and 1 here; only name", giver, tmp_path, seed=1)
  refused("selection.name is 'none'", giver, tmp_path, selection=NO_SELECTION)
  refused(
    r"'sgas' with selection .* selects while it searches",
    giver,
    tmp_path,
    method=configs.MethodConfig(name="sgas"),
  )


def test_a_giver_whose_last_state_is_lost_is_refused(giver, tmp_path):
  # Its records say that it came to step 4, its newest whole checkpoint is 3.
  given = shutil.copytree(giver, tmp_path / "giver")
  file = given / "search" / "metrics.jsonl"
  file.write_text(file.read_text().replace('"steps": 3', '"steps": 4'))
  (tmp_path / "taker").mkdir()
  refused("checkpoint of step 4 .* is damaged", given, tmp_path / "taker")


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


def test_an_arm_takes_a_search_over_unless_it_has_begun_its_own(
  giver, selected, tmp_path
):
  own = shutil.copytree(
    selected, tmp_path / "own", ignore=shutil.ignore_patterns("selection")
  )
  config = tiny_selection.get_config()
  records = [
    claims.record(config, path, retrains=False, giver=giver)
    for path in (tmp_path / "new", own)
  ]
  taken, searched = (
    folder.header(tmp_path / name / "search") for name in ("new", "own")
  )
  assert "taken_from" in taken and "taken_from" not in searched
  assert records[0]["found_ops"] == records[1]["found_ops"]
  assert records[0]["trajectory"] == records[1]["trajectory"]
  refused("a search of its own: leave --from out", giver, own)


def test_the_command_begins_with_another_run(giver, tmp_path):
  arguments = ["select", "--config", tiny_selection.__file__]
  arguments += ["--workdir", str(tmp_path / "run"), "--from"]
  for given, code in (("", 2), (str(giver), 0)):
    with pytest.raises(SystemExit) as ended:
      cli.main([*arguments, given])
    assert ended.value.code == code
    assert (tmp_path / "run" / "genotype.json").exists() == (code == 0)


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
