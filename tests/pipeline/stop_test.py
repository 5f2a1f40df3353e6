"""Signals: SIGTERM saves and ends well, SIGKILL loses what was not saved."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import orbax.checkpoint as ocp
import pytest

from jnas import cli
from tests.pipeline import tiny

PROJECT = pathlib.Path(__file__).parents[2]


def arguments(command: str, workdir: pathlib.Path) -> list[str]:
  config = str(PROJECT / "tests" / "pipeline" / "tiny.py")
  return [command, "--config", config, "--workdir", str(workdir)]


@pytest.mark.parametrize("step", [2, 3, 6])
def test_a_search_asked_to_stop_saves_and_goes_on_bit_for_bit(
  reference, tmp_path, on_event, capfd, step
):
  # Within an epoch, at the end of one, and at the end of the last one.
  def ask(event: str) -> None:
    if event == f"search: step {step}":
      os.kill(os.getpid(), signal.SIGTERM)

  on_event(ask)
  with pytest.raises(SystemExit) as stopped:
    cli.main(arguments("search", tmp_path))
  assert stopped.value.code == 0
  out, err = capfd.readouterr()
  assert out == ""
  assert err.splitlines()[-1] == (
    f"stopped at step {step}; the same command continues"
  )
  on_event(lambda event: None)
  with pytest.raises(SystemExit) as done:
    cli.main(arguments("search", tmp_path))
  assert done.value.code == 0
  out, err = capfd.readouterr()
  assert out.startswith("Genotype(normal=[")
  assert err.startswith(
    f"search tiny: going on from step {step} of 6, read in 0."
  )
  assert tiny.results(tmp_path) == tiny.results(reference, "search")


def full_disk(*_, **__):
  raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
  ("event", "broken", "message"),
  [
    (
      "search: tear 3",
      (ocp.CheckpointManager, "save"),
      "cannot save the checkpoint of step 3 in {}/search/checkpoints (No space"
      " left on device, ",
    ),
    (
      "search: write epoch 1",
      (os, "fsync"),
      "cannot write {}/search/metrics.jsonl: No space left on device",
    ),
    (
      "write genotype",
      (os, "fsync"),
      "cannot write {}/genotype.json: No space left on device",
    ),
  ],
)
def test_a_search_stopped_by_a_full_disk_goes_on_bit_for_bit(
  reference, tmp_path, on_event, monkeypatch, capfd, event, broken, message
):
  with monkeypatch.context() as disk:

    def fill(name: str) -> None:
      if name == event:
        disk.setattr(*broken, full_disk)

    on_event(fill)
    with pytest.raises(SystemExit) as stopped:
      cli.main(arguments("search", tmp_path))
  assert stopped.value.code == 1
  err = capfd.readouterr().err
  last = err.splitlines()[-1]
  assert last.startswith(f"jnas: error: {message.format(tmp_path)}")
  assert "Traceback" not in err
  on_event(lambda name: None)
  with pytest.raises(SystemExit) as done:
    cli.main(arguments("search", tmp_path))
  assert done.value.code == 0
  assert tiny.results(tmp_path) == tiny.results(reference, "search")


def test_a_search_killed_by_the_system_goes_on_bit_for_bit(
  reference, tmp_path, compile_cache
):
  process = subprocess.Popen(
    [sys.executable, "-m", "jnas.cli", *arguments("search", tmp_path)],
    cwd=PROJECT,
    env={
      **os.environ,
      "JAX_COMPILATION_CACHE_DIR": str(compile_cache),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    },
    stderr=subprocess.PIPE,
    text=True,
  )
  first = tmp_path / "search" / "checkpoints" / "3"
  while not first.exists() and process.poll() is None:
    time.sleep(0.001)
  process.kill()
  _, err = process.communicate(timeout=60)
  assert process.returncode == -signal.SIGKILL, err
  with pytest.raises(SystemExit) as done:
    cli.main(arguments("search", tmp_path))
  assert done.value.code == 0
  assert tiny.results(tmp_path) == tiny.results(reference, "search")
