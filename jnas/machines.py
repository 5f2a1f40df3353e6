"""What a command runs on: options, and JAX started accordingly.

None of it is part of a run's identity: a run continues on another number of
devices and processes. Each option of the processes may also be given in the
environment, as JNAS_PROCESSES and so on, for launchers.
"""

import argparse
import os
import re
import sys
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

# Set where SLURM, MPI or a TPU pod started this process as one of several.
_SEVERAL = {
  "SLURM_STEP_NUM_TASKS": r"[2-9]|[1-9]\d+",
  "OMPI_COMM_WORLD_SIZE": r"[2-9]|[1-9]\d+",
  "TPU_WORKER_HOSTNAMES": r".*,.*",
}
_HEARTBEAT, _LEAST_HEARTBEAT, _MOST_HEARTBEAT = 60, 10, 3600
# How long a process that failed waits for the others to fail alike.
_LEAVE_SECONDS = 10


class Processes(NamedTuple):
  """How the processes of a run find each other.

  Attributes:
    coordinator: host and port of the first one; None: as the cluster says.
    number: of processes; None likewise.
    index: of this one, from 0; None likewise.
    heartbeat: seconds without a sign after which a process counts as lost.
  """

  coordinator: str | None
  number: int | None
  index: int | None
  heartbeat: int


def add_devices(parser: argparse.ArgumentParser) -> None:
  """Adds --devices."""
  parser.add_argument(
    "--devices",
    type=int,
    metavar="N",
    help="devices of each process, to share a batch; default: all. A CPU is "
    "divided into N, for trying out",
  )


def add_processes(parser: argparse.ArgumentParser) -> None:
  """Adds what a process must know of the others."""
  parser.add_argument(
    "--processes",
    metavar="N",
    help="processes of this run, or `auto`: as SLURM, MPI, a TPU pod or "
    "Kubernetes says, the default where one of the first three started "
    "several; also JNAS_PROCESSES. launch/local.sh starts several here",
  )
  parser.add_argument(
    "--process", metavar="I", help="which one this is, 0 to N-1; JNAS_PROCESS"
  )
  parser.add_argument(
    "--coordinator",
    metavar="HOST:PORT",
    help="where process 0 listens; JNAS_COORDINATOR",
  )
  parser.add_argument(
    "--heartbeat",
    metavar="SECONDS",
    help="a process that is silent for so long is lost, and the others stop "
    f"(default {_HEARTBEAT}); JNAS_HEARTBEAT",
  )


def processes(
  options: argparse.Namespace, environment: Mapping[str, str]
) -> Processes | None:
  """What the options and the environment say of processes.

  Returns:
    None for a process that is alone.

  Raises:
    ValueError: naming the value found and the values allowed.
  """
  if "processes" not in options:
    return None
  given: dict[str, Any] = {
    name: getattr(options, name) or environment.get(f"JNAS_{name.upper()}")
    for name in ("processes", "process", "coordinator", "heartbeat")
  }
  heartbeat = _number(
    "heartbeat",
    given["heartbeat"] or str(_HEARTBEAT),
    _LEAST_HEARTBEAT,
    _MOST_HEARTBEAT,
  )
  if given["processes"] is None:
    for name in ("process", "coordinator"):
      if given[name] is not None:
        raise ValueError(f"--{name} is {given[name]!r} without --processes")
    several = any(
      re.fullmatch(pattern, environment.get(name, ""))
      for name, pattern in _SEVERAL.items()
    )
    return Processes(None, None, None, heartbeat) if several else None
  if given["processes"] == "auto":
    return Processes(None, None, None, heartbeat)
  number = _number("processes", given["processes"], 1, 100_000, " or 'auto'")
  if number == 1:
    return None
  for name in ("process", "coordinator"):
    if given[name] is None:
      raise ValueError(f"--processes is {number}; --{name} is missing")
  index = _number("process", given["process"], 0, number - 1)
  host, _, port = given["coordinator"].rpartition(":")
  if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
    raise ValueError(
      f"--coordinator is {given['coordinator']!r}; it must be HOST:PORT with a "
      "port of 1 to 65535"
    )
  return Processes(given["coordinator"], number, index, heartbeat)


def start(options: argparse.Namespace) -> None:
  """Settings of JAX that the options ask for; connects several processes.

  Processes after the first one have nothing to say from here on.

  Raises:
    ValueError: naming the value found and the values allowed.
  """
  from jnas.training import sharding

  found = processes(options, os.environ)
  sharding.use_devices(options.devices)
  if found is not None:
    _connect(found)


def leave(code: int) -> NoReturn:
  """Ends the program; one of several that failed does not wait for long."""
  if code and "jax" in sys.modules:
    import jax

    if jax.distributed.is_initialized():
      # All may have failed alike: then they part in peace.
      parting = threading.Thread(target=jax.distributed.shutdown, daemon=True)
      parting.start()
      parting.join(_LEAVE_SECONDS)
      sys.stdout.flush()
      sys.stderr.flush()
      os._exit(code)
  sys.exit(code)


def _connect(found: Processes) -> None:
  import jax

  from jnas.pipeline import display
  from jnas.training import lost
  from jnas.training import processes as shared

  lost.watch()
  # Signals are ours: see `preemption`.
  jax.config.update("jax_enable_preemption_service", False)
  explicit: dict[str, Any] = {}
  if found.coordinator is not None:
    explicit = {
      "coordinator_address": found.coordinator,
      "num_processes": found.number,
      "process_id": found.index,
      "cluster_detection_method": "deactivate",
    }
  jax.distributed.initialize(
    **explicit, heartbeat_timeout_seconds=found.heartbeat
  )
  with _quiet_stdout():
    shared.wished_by_any(False)  # connects the devices, which Gloo reports
  if not shared.is_first():
    display.CONSOLE.quiet = True
    sys.stdout = open(os.devnull, "w")


class _quiet_stdout:  # noqa: N801, reads as a function at its call
  """Drops what libraries print on stdout, which is for results."""

  def __enter__(self) -> None:
    sys.stdout.flush()
    self._stdout = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)

  def __exit__(self, *_: object) -> None:
    os.dup2(self._stdout, 1)
    os.close(self._stdout)


def _number(
  name: str, text: str, least: int, most: int, otherwise: str = ""
) -> int:
  if re.fullmatch(r"\d{1,9}", text) and least <= int(text) <= most:
    return int(text)
  raise ValueError(
    f"--{name} is {text!r}; it must be {least} to {most}{otherwise}"
  )
