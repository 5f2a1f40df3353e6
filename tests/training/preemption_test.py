import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from jnas.training import preemption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_raises_the_flag_and_says_so(number, capfd):
  with preemption.StopFlag() as stop:
    assert not stop.requested
    signal.raise_signal(number)
    assert stop.requested
  err = capfd.readouterr().err
  assert "stopping after this step" in err
  assert err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_handlers_come_back_even_after_an_error(number):
  def earlier(*_):
    pass

  before = signal.signal(number, earlier)
  try:
    with pytest.raises(ZeroDivisionError):
      with preemption.StopFlag():
        assert signal.getsignal(number) is not earlier
        1 / 0  # noqa: B018
    assert signal.getsignal(number) is earlier
  finally:
    signal.signal(number, before)


def test_each_flag_is_its_own():
  with preemption.StopFlag() as first:
    signal.raise_signal(signal.SIGTERM)
  with preemption.StopFlag() as second:
    assert first.requested and not second.requested


def test_outside_the_main_thread_it_does_nothing():
  before = signal.getsignal(signal.SIGTERM)
  seen = []

  def work():
    with preemption.StopFlag() as stop:
      seen.append((signal.getsignal(signal.SIGTERM), stop.requested))

  thread = threading.Thread(target=work)
  thread.start()
  thread.join()
  assert seen == [(before, False)]


_STAGE = """
import sys, time
from jnas.training import preemption
with preemption.StopFlag() as stop:
  print("ready", flush=True)
  step = 0
  while not (stop.requested and step >= int(sys.argv[1])):
    time.sleep(0.01)
    step += 1
    if stop.requested:
      print("asked", flush=True)
print(preemption.stopped_line(123))
"""


def start_stage(steps: int) -> subprocess.Popen:
  project = str(pathlib.Path(__file__).parents[2])
  stage = subprocess.Popen(
    [sys.executable, "-c", _STAGE, str(steps)],
    env={**os.environ, "PYTHONPATH": project},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert stage.stdout is not None
  assert stage.stdout.readline() == "ready\n"
  return stage


def test_a_stage_ends_well_and_says_how_to_go_on():
  stage = start_stage(steps=0)
  stage.send_signal(signal.SIGTERM)
  out, _ = stage.communicate(timeout=30)
  assert out.splitlines()[-1] == (
    "stopped at step 123; the same command continues"
  )
  assert stage.returncode == 0


def test_a_second_interrupt_ends_the_process_at_once():
  stage = start_stage(steps=10**9)
  stage.send_signal(signal.SIGINT)
  assert stage.stdout is not None
  assert stage.stdout.readline() == "asked\n"
  stage.send_signal(signal.SIGINT)
  _, err = stage.communicate(timeout=30)
  assert stage.returncode == -signal.SIGINT
  assert err == "stopping after this step; Ctrl-C again ends at once\n"
