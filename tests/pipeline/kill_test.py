"""`jnas select` in processes that the system kills, and in the one after."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys

from jnas import config as configs
from jnas.pipeline import search, select
from jnas.training import metrics
from tests.pipeline import tiny, tiny_selection

PROJECT = pathlib.Path(__file__).parents[2]

# jnas, killed as soon as a selection has come to an event.
KILLED = """
import os, signal, sys
from jnas import cli
from jnas.pipeline import journal
event, reach = int(sys.argv[1]), journal.Journal.reach

def reach_and_die(self, count, loss):
  reach(self, count, loss)
  if count == event:
    os.kill(os.getpid(), signal.SIGKILL)

journal.Journal.reach = reach_and_die
cli.main(sys.argv[2:])
"""


def get_config() -> configs.Config:
  """With a checkpoint after every batch of a trial and step of tuning."""
  return tiny_selection.get_config(checkpoint_seconds=1e-9)


def run_killed(event: int, workdir: pathlib.Path, cache: pathlib.Path) -> None:
  """Runs `jnas select` until the event, where the system kills it."""
  command = ["select", "--config", __file__, "--workdir", str(workdir)]
  done = subprocess.run(
    [sys.executable, "-c", KILLED, str(event), *command],
    cwd=PROJECT,
    env={
      **os.environ,
      "JAX_COMPILATION_CACHE_DIR": str(cache),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    },
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == -signal.SIGKILL, done.stderr


def last_record(workdir: pathlib.Path) -> dict:
  return metrics.MetricsFile(workdir / "selection" / "metrics.jsonl").read()[-1]


def test_a_selection_killed_by_the_system_goes_on_bit_for_bit(
  selected, tmp_path, compile_cache
):
  config = get_config()
  search.run(config, tmp_path)
  # In the second trial of an edge, in an epoch of tuning, and in the trials
  # of a node's edges. Each kill may cut off the save of the event before.
  for event, last in ((5, "trial"), (10, "decision"), (72, "trial")):
    run_killed(event, tmp_path, compile_cache)
    assert last_record(tmp_path)["kind"] == last
  assert "node" in last_record(tmp_path)
  found = select.run(config, tmp_path)
  assert dataclasses.asdict(found)["summary"]["decisions"] == 12
  stages = ("search", "selection")
  assert tiny.results(tmp_path, *stages) == tiny.results(selected, *stages)
