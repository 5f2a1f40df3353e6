"""Several pieces of work at once: results, failures, ends."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from jnas.pipeline import jobs

pytestmark = pytest.mark.skipif(
  len(os.sched_getaffinity(0)) < 2, reason="one core"
)

ROOT = pathlib.Path(__file__).parents[2]


def run(function, *arguments, tmp_path, at_once=2):
  return jobs.run(
    function,
    [jobs.Job(f"job-{i}", given) for i, given in enumerate(arguments)],
    at_once=at_once,
    logs=tmp_path,
  )


def test_results_come_in_the_order_of_the_jobs(tmp_path):
  first, second, third = run(
    os.sched_getaffinity, (0,), (0,), (0,), tmp_path=tmp_path
  )
  assert len(first) == len(second) == len(os.sched_getaffinity(0)) // 2
  assert not first & second  # no core is shared
  assert third in (first, second)


def test_a_job_waits_for_the_one_that_it_needs(tmp_path):
  first, second, third = (str(tmp_path / name) for name in "abc")
  pathlib.Path(first).mkdir()
  copied = jobs.run(
    shutil.copytree,
    [
      jobs.Job("last", (second, third), after="first"),
      jobs.Job("first", (first, second)),
    ],
    at_once=1,
    logs=tmp_path,
  )
  assert copied == [third, second]
  with pytest.raises(ValueError, match="last waits for 'no', which is no job"):
    jobs.run(
      shutil.copytree,
      [jobs.Job("last", (second, third), after="no")],
      at_once=1,
      logs=tmp_path,
    )


def test_a_failure_is_raised_as_it_was_and_no_job_begins_after_it(tmp_path):
  with pytest.raises(ValueError, match="invalid literal for int"):
    run(int, ("one",), ("2",), tmp_path=tmp_path, at_once=1)
  assert "ValueError: invalid" in (tmp_path / "job-0.log").read_text()
  assert not (tmp_path / "job-1.log").exists()


def test_a_process_that_is_gone_is_named(tmp_path):
  with pytest.raises(RuntimeError, match="job-0 ended with exit code 7"):
    run(os._exit, (7,), tmp_path=tmp_path)


def test_more_jobs_than_cores_are_refused():
  with pytest.raises(ValueError, match="0 jobs at once on cpu; here it must"):
    jobs.check(0)
  with pytest.raises(ValueError, match="9999 jobs at once"):
    jobs.check(9999)
  jobs.check(jobs.default_at_once())


SCRIPT = """
  import os, pathlib, sys, time
  from jnas.pipeline import jobs, stage
  from jnas.training import preemption

  def began(folder, name):
    (folder / f"{name}-began").write_text(str(os.getpid()))
    (folder / f"{name}-began").rename(folder / name)

  def work(folder, name):
    with preemption.StopFlag() as stop:
      began(folder, name)
      while not stop.requested:
        time.sleep(0.02)
    (folder / f"{name}-saved").touch()
    raise stage.Stopped("here")

  def sleep(folder, name):
    began(folder, name)
    time.sleep(600)

  if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    try:
      jobs.run(globals()[sys.argv[2]],
               [jobs.Job(n, (folder, n)) for n in "abc"], at_once=2,
               logs=folder)
    except stage.Stopped:
      sys.exit(5)
"""


def start(tmp_path, work="work"):
  """A program with two jobs of three at work, in a process group."""
  script = tmp_path / "script.py"
  script.write_text(textwrap.dedent(SCRIPT))
  process = subprocess.Popen(
    [sys.executable, script, tmp_path, work],
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    start_new_session=True,
  )
  while not all((tmp_path / name).exists() for name in "ab"):
    assert process.poll() is None
    time.sleep(0.05)
  return process


def test_who_is_asked_to_stop_asks_the_jobs_and_waits(tmp_path):
  process = start(tmp_path)
  process.send_signal(signal.SIGTERM)
  assert process.wait(timeout=60) == 5
  assert (tmp_path / "a-saved").exists() and (tmp_path / "b-saved").exists()
  assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_of_them_is_a_stop_too(tmp_path, number):
  process = start(tmp_path, work="sleep")  # which saves nothing
  os.killpg(process.pid, number)
  assert process.wait(timeout=60) == 5
  assert not (tmp_path / "c").exists()


def test_jobs_end_with_who_began_them(tmp_path):
  process = start(tmp_path)
  process.kill()
  process.wait()
  until = time.monotonic() + 30
  for name in "ab":
    status = pathlib.Path(f"/proc/{(tmp_path / name).read_text()}/stat")
    # A zombie has ended; not every machine buries it.
    while status.exists() and status.read_text().split()[2] != "Z":
      assert time.monotonic() < until
      time.sleep(0.05)
