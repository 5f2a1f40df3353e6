"""What goes wrong around a run: damaged files, a clock that is set back."""

import ast
import itertools
import pathlib
import time

import pytest

from jnas import cli
from jnas.pipeline import search
from tests.pipeline import conftest, stop_test, tiny

PACKAGE = pathlib.Path(__file__).parents[2] / "jnas"
# Clocks that a person, or a server of the time, can set back.
WALL_CLOCKS = {"time", "time_ns", "now", "utcnow", "today"}


def test_a_search_with_a_damaged_checkpoint_goes_on_from_the_one_before(
  reference, tmp_path, on_event, capfd
):
  def kill(event: str) -> None:
    if event == "search: saved 6":
      raise conftest.Killed

  on_event(kill)
  with pytest.raises(conftest.Killed):
    search.run(tiny.get_config(), tmp_path)
  on_event(lambda event: None)
  folder = tmp_path / "search" / "checkpoints"
  path = max(
    (folder / "6" / "state").rglob("*"), key=lambda path: path.stat().st_size
  )
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  capfd.readouterr()
  with pytest.raises(SystemExit) as done:
    cli.main(stop_test.arguments("search", tmp_path))
  assert done.value.code == 0
  told, going_on, *_ = capfd.readouterr().err.splitlines()
  assert told.startswith(f"damaged checkpoint in {folder}: step 6 (")
  assert told.endswith("; going on from step 3, the last good one")
  assert going_on.startswith("search tiny: going on from step 3 of 6")
  assert tiny.results(tmp_path) == tiny.results(reference, "search")


def test_a_clock_that_runs_backwards_changes_nothing(
  reference, tmp_path, run_killed, monkeypatch
):
  backwards = itertools.count(2_000_000_000, -3600)
  monkeypatch.setattr(time, "time", lambda: float(next(backwards)))
  monkeypatch.setattr(time, "time_ns", lambda: next(backwards) * 10**9)
  config = tiny.get_config(checkpoint_seconds=1e-9)
  run_killed(lambda: search.run(config, tmp_path), "search: saved 5")
  assert tiny.results(tmp_path) == tiny.results(reference, "search")
  records = tiny.metrics.MetricsFile(
    tmp_path / "search" / "metrics.jsonl"
  ).read()
  seconds = [r["seconds"] for r in records if "seconds" in r]
  assert seconds == sorted(seconds) and seconds[0] > 0


def test_nothing_reads_a_clock_that_can_be_set_back():
  for path in PACKAGE.rglob("*.py"):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Attribute) and node.attr in WALL_CLOCKS:
        owner = ast.unparse(node.value)
        assert owner not in ("time", "datetime", "datetime.datetime"), path
