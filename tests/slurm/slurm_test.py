"""launch/slurm.sbatch under a real SLURM, where one is installed."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from jnas.training import metrics
from tests.pipeline import tiny

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
MISSING = [name for name in NEEDED if not shutil.which(name)]

pytestmark = [
  pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}"),
  pytest.mark.skipif(os.getuid() != 0, reason="slurmd has to run as root"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
  """The environment in which SLURM's commands find one of this machine."""
  folder = tmp_path_factory.mktemp("slurm")
  subprocess.run(
    ["bash", str(HERE / "start.sh"), str(folder), *free_ports(2)],
    check=True,
    timeout=60,
  )
  # `jnas` is this Python's, whether or not its environment is active.
  binary = folder / "bin" / "jnas"
  binary.parent.mkdir()
  binary.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jnas.cli "$@"\n')
  binary.chmod(0o755)
  env = {
    **os.environ,
    "SLURM_CONF": str(folder / "slurm.conf"),
    "PATH": f"{binary.parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
  }
  yield env
  call(env, "scancel", "--user=root", "--full")
  for name in ("slurmd", "slurmctld", "munge"):
    os.kill(int((folder / f"{name}.pid").read_text()), signal.SIGTERM)


def free_ports(count: int) -> list[str]:
  """Ports that nobody listens on."""
  sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
  ports = [str(each.getsockname()[1]) for each in sockets]
  for each in sockets:
    each.close()
  return ports


def call(env, *command: str, cwd: pathlib.Path | None = None) -> str:
  """What a command prints; it has to succeed."""
  return subprocess.run(
    command, env=env, cwd=cwd, check=True, capture_output=True, text=True
  ).stdout


def submit(
  env, folder: pathlib.Path, *arguments: str, epochs: int = 200
) -> str:
  """Queues launch/slurm.sbatch with the tiny problem; gives its number."""
  folder.mkdir()
  return call(
    env,
    "sbatch",
    "--parsable",
    "--cpus-per-task=1",
    *arguments,
    str(ROOT / "launch" / "slurm.sbatch"),
    *("--config", str(ROOT / "tests" / "pipeline" / "tiny.py")),
    *("--search.epochs", str(epochs), "--search.checkpoint-seconds", "1"),
    cwd=folder,
  ).strip()


def wait_for(found, *, seconds: float = 240.0) -> None:
  """Waits until `found()` is true."""
  end = time.monotonic() + seconds
  while not found():
    assert time.monotonic() < end, f"not within {seconds} s"
    time.sleep(0.2)


def wait_to_end(env, folder: pathlib.Path) -> None:
  """Waits until no task is left, then shows what they printed."""
  try:
    wait_for(lambda: not call(env, "squeue", "-h"))
  finally:
    print(*(path.read_text() for path in folder.glob("*.out")))


def test_an_array_with_a_requeued_task_ends_as_if_undisturbed(slurm, tmp_path):
  folder = tmp_path / "disturbed"
  job = submit(slurm, folder, "--array=0-1")
  run = folder / "runs" / "jnas-s0"
  checkpoints = run / "search" / "checkpoints"
  wait_for(
    lambda: any(
      int(path.name) > tiny.STEPS_PER_EPOCH
      for path in checkpoints.glob("*")
      if path.name.isdigit()
    )
  )
  call(slurm, "scontrol", "requeue", f"{job}_0")
  # SLURM lets what was queued again wait for two minutes.
  wait_for(lambda: "PENDING" in call(slurm, "squeue", "-h", "-o", "%T"))
  assert not (run / "genotype.json").exists()
  call(slurm, "scontrol", "update", f"JobId={job}_0", "StartTime=now")
  wait_to_end(slurm, folder)
  output = (folder / f"jnas-{job}_0.out").read_text()
  assert "stopped at step" in output
  assert output.count("search tiny: epoch 1 of") == 1

  undisturbed = tmp_path / "undisturbed"
  submit(slurm, undisturbed, "--array=0")
  wait_to_end(slurm, undisturbed)
  assert tiny.results(run) == tiny.results(undisturbed / "runs" / "jnas-s0")
  assert (folder / "runs" / "jnas-s1" / "report" / "index.html").exists()


def test_the_tasks_of_a_run_find_each_other(slurm, tmp_path):
  folder = tmp_path / "two"
  submit(slurm, folder, "--array=3", "--ntasks=2", epochs=3)
  wait_to_end(slurm, folder)
  run = folder / "runs" / "jnas-s3"
  rows = metrics.MetricsFile(run / "search" / "metrics.jsonl").read()
  assert rows[-1]["devices"] == 2
  assert (run / "report" / "index.html").exists()
