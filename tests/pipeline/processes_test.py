"""Several processes are one run: its numbers, its files, its stop, its end."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from jnas.training import lost
from tests.pipeline import tiny
from tests.pipeline.devices_test import OPTIONS, PROJECT, assert_same, run

EPOCHS = 8
JNAS = ("-m", "jnas.cli")
# jnas on a disk that is full from the checkpoint of step 3 on.
FULL = """
import errno, sys
from jnas import cli
from jnas.training import checkpoint_files
def write(self, step, content, header):
  full = OSError(errno.ENOSPC, "No space left on device")
  raise self._save_error(step, content.nbytes, full)
checkpoint_files.Files.write = write
cli.main(sys.argv[1:])
"""


class Launched:
  """Processes of one run on this machine."""

  def __init__(
    self, cache, number: int, *arguments: str, program: tuple = JNAS
  ) -> None:
    with socket.socket() as free:
      free.bind(("localhost", 0))
      address = f"localhost:{free.getsockname()[1]}"
    self.processes = [
      subprocess.Popen(
        [sys.executable, *program, *arguments, *OPTIONS],
        cwd=PROJECT,
        env={
          **os.environ,
          "JAX_PLATFORMS": "cpu",
          "JAX_COMPILATION_CACHE_DIR": str(cache),
          "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
          "JNAS_COORDINATOR": address,
          "JNAS_PROCESSES": str(number),
          "JNAS_PROCESS": str(index),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
      )
      for index in range(number)
    ]

  def __enter__(self) -> "Launched":
    return self

  def __exit__(self, *_: object) -> None:
    for process in self.processes:
      process.kill()
      process.communicate()

  def finish(self, *, timeout: float = 120) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each."""
    ended = []
    for process in self.processes:
      out, err = process.communicate(timeout=timeout)
      ended.append((process.returncode, out, err))
    return ended

  def wait_for_checkpoint(self, folder: pathlib.Path, after: int) -> None:
    deadline = time.monotonic() + 120
    while latest(folder) <= after:
      assert time.monotonic() < deadline, "no checkpoint"
      assert all(process.poll() is None for process in self.processes)
      time.sleep(0.01)


def latest(folder: pathlib.Path) -> int:
  """The newest committed step, 0 if there is none."""
  names = [path.name for path in folder.glob("search/checkpoints/*")]
  return max((int(name) for name in names if name.isdecimal()), default=0)


def search(cache, folder: pathlib.Path, *arguments: str) -> Launched:
  return Launched(cache, 2, "search", "--workdir", str(folder), *arguments)


def test_two_processes_run_all_stages_and_one_speaks(
  reference, tmp_path, compile_cache
):
  with Launched(compile_cache, 2, "run", "--workdir", str(tmp_path)) as both:
    (code, out, err), *others = both.finish()
  assert (code, out) == (0, ""), err
  assert err.splitlines()[-1] == f"report: {tmp_path}/report/index.html"
  assert others == [(0, "", "")]
  assert_same(tmp_path, reference)


def test_two_processes_of_two_devices_search_and_one_device_goes_on(
  reference, tmp_path, compile_cache
):
  with search(compile_cache, tmp_path, "--devices", "2") as both:
    (code, out, err), *others = both.finish()
  assert code == 0, err
  # What the libraries say on stdout is not there.
  assert out.startswith("Genotype(normal=[") and out.count("\n") == 1
  assert others == [(0, "", "")]
  assert_same(tmp_path, reference, "search")
  (tmp_path / "genotype.json").unlink()
  shutil.rmtree(tmp_path / "search" / "checkpoints" / "6")
  said = run(compile_cache, "search", "--workdir", str(tmp_path))
  assert "going on from step 3 of 6" in said
  assert_same(tmp_path, reference, "search")


def test_a_full_disk_ends_both_processes_with_one_line(
  reference, tmp_path, compile_cache
):
  command = ("search", "--workdir", str(tmp_path))
  with Launched(compile_cache, 2, *command, program=("-c", FULL)) as both:
    (code, out, err), other = both.finish()
  assert (code, out) == (1, ""), err
  errors = [line for line in err.splitlines() if "error" in line]
  assert len(errors) == 1 and errors[0] == err.splitlines()[-1]
  assert errors[0].startswith(
    "jnas: error: cannot save the checkpoint of step "
  )
  assert "No space left on device, " in errors[0]
  assert other == (1, "", "")
  with search(compile_cache, tmp_path) as both:
    assert [code for code, *_ in both.finish()] == [0, 0]
  assert_same(tmp_path, reference, "search")


@pytest.fixture
def undisturbed(tmp_path, compile_cache) -> pathlib.Path:
  """A search of two processes that nothing happened to."""
  folder = tmp_path / "undisturbed"
  with search(compile_cache, folder, "--search.epochs", str(EPOCHS)) as both:
    assert [code for code, *_ in both.finish()] == [0, 0]
  return folder


def test_a_signal_to_one_stops_all_and_a_killed_one_ends_all(
  undisturbed, tmp_path, compile_cache
):
  folder = tmp_path / "disturbed"
  arguments = (compile_cache, folder, "--search.epochs", str(EPOCHS))
  with search(*arguments) as both:
    both.wait_for_checkpoint(folder, after=0)
    both.processes[1].send_signal(signal.SIGTERM)
    (code, out, err), other = both.finish()
  stopped = latest(folder)
  assert (code, out) == (0, ""), err
  assert err.splitlines()[-1] == (
    f"stopped at step {stopped}; the same command continues"
  )
  assert other == (0, "", "")
  assert stopped < EPOCHS * tiny.STEPS_PER_EPOCH

  with search(*arguments) as both:
    both.wait_for_checkpoint(folder, after=stopped)
    both.processes[1].kill()
    (code, out, err), _ = both.finish()
  assert (code, out) == (1, "")
  lines = err.splitlines()
  assert f"going on from step {stopped} of" in lines[0]
  assert [line for line in lines if "error" in line] == [
    f"jnas: error: {lost.LINE}"
  ]
  assert lines[-1] == f"jnas: error: {lost.LINE}"

  with search(*arguments) as both:
    assert [code for code, *_ in both.finish()] == [0, 0]
  assert tiny.results(folder, "search") == tiny.results(undisturbed, "search")
