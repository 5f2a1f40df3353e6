"""What a process is told of the others, and what makes no sense of that."""

import argparse

import pytest

from jnas import machines

SEARCH = ("search", "--config", "smoke", "--workdir", "run")
TWO = {"JNAS_PROCESSES": "2", "JNAS_PROCESS": "1", "JNAS_COORDINATOR": "a:80"}


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (
      ("--processes", 0),
      "--processes is '0'; it must be 1 to 100000 or 'auto'",
    ),
    (("--processes", "two"), "--processes is 'two'; it must be 1 to 100000 or"),
    (("--processes", 2), "--processes is 2; --process is missing"),
    (
      ("--processes", 2, "--process", 0),
      "--processes is 2; --coordinator is missing",
    ),
    (
      ("--processes", 2, "--process", 2, "--coordinator", "a:80"),
      "--process is '2'; it must be 0 to 1",
    ),
    (
      ("--processes", 2, "--process", 1, "--coordinator", "a"),
      "--coordinator is 'a'; it must be HOST:PORT with a port of 1 to 65535",
    ),
    (
      ("--processes", 2, "--process", 1, "--coordinator", "a:70000"),
      "--coordinator is 'a:70000'; it must be HOST:PORT",
    ),
    (("--process", 1), "--process is '1' without --processes"),
    (("--heartbeat", 5), "--heartbeat is '5'; it must be 10 to 3600"),
  ],
)
def test_processes_that_cannot_be_are_refused(refusal, arguments, message):
  assert refusal(*SEARCH, *arguments).startswith(message)


def told(environment: dict[str, str], *arguments: str) -> object:
  parser = argparse.ArgumentParser()
  machines.add_processes(parser)
  return machines.processes(parser.parse_args(arguments), environment)


@pytest.mark.parametrize(
  ("environment", "arguments", "found"),
  [
    ({}, (), None),
    ({}, ("--processes", "1"), None),
    (TWO, (), ("a:80", 2, 1, 60)),
    # An option counts more than the environment.
    (TWO | {"JNAS_HEARTBEAT": "30"}, ("--process", "0"), ("a:80", 2, 0, 30)),
    ({}, ("--processes", "auto"), (None, None, None, 60)),
    ({"SLURM_STEP_NUM_TASKS": "8"}, (), (None, None, None, 60)),
    ({"SLURM_STEP_NUM_TASKS": "1"}, (), None),
    ({"SLURM_STEP_NUM_TASKS": "8"}, ("--processes", "1"), None),
    ({"TPU_WORKER_HOSTNAMES": "a,b"}, (), (None, None, None, 60)),
    ({"TPU_WORKER_HOSTNAMES": "a"}, (), None),
  ],
)
def test_options_and_environment_say_how_processes_meet(
  environment, arguments, found
):
  assert told(environment, *arguments) == found
