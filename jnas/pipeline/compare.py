"""Two settings of a run side by side: which has the faster steps.

Each setting has a process of its own, because some of what is worth comparing
(native kernels on or off, flags of XLA) is fixed when JAX starts. The
processes run in turn, one step at a time, A B A B: what else the machine does
meets both alike, and the ratio of each round shows how far that goes.
"""

import contextlib
import dataclasses
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

from jnas import config as configs

# The config as it is.
BASE = "base"

_Seconds = Mapping[str, float]


class Setting(NamedTuple):
  """What one side changes.

  Attributes:
    text: as it was given.
    overrides: of the config, as arguments of the command line.
    environment: of the process.
  """

  text: str
  overrides: list[str]
  environment: dict[str, str]


def parse(text: str) -> Setting:
  """Reads `search.channels=8 JNAS_NATIVE=0`, words as a shell splits them.

  Args:
    text: fields of the config in small letters, variables of the environment
      in capitals; "base" for no change.

  Raises:
    ValueError: for a word that is neither.
  """
  overrides, environment = [], {}
  try:
    words = shlex.split(text)
  except ValueError as error:
    raise ValueError(f"--compare {text!r}: {error}") from error
  for word in [] if words == [BASE] else words:
    name, equals, value = word.partition("=")
    if equals and re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
      environment[name] = value
    elif equals and re.fullmatch(r"[a-z][a-z0-9_.]*", name):
      overrides += _to_arguments(name, value)
    else:
      raise ValueError(
        f"--compare {text!r}: {word!r} is neither field=value, nor NAME=value "
        f"for the environment, nor {BASE} alone"
      )
  if not words:
    raise ValueError(f"--compare has an empty setting; {BASE} changes nothing")
  return Setting(text, overrides, environment)


def run(
  what: str,
  settings: Sequence[Setting],
  given: Sequence[configs.Config],
  *,
  rounds: int,
  devices: int | None = None,
) -> dict[str, Any]:
  """Measures two settings in turn.

  Args:
    what: "step" or "evaluate", as for `jnas bench`.
    settings: A and B.
    given: the config of each, its overrides applied.
    rounds: timed steps of each.
    devices: that each process uses; all by default.

  Returns:
    The fields of `jnas bench --compare --json`.

  Raises:
    RuntimeError: if one of the processes fails.
  """
  from jnas.pipeline import display

  with contextlib.ExitStack() as stack:
    workers, ready = [], []
    for setting, config in zip(settings, given, strict=True):
      workers.append(
        stack.enter_context(_worker(what, setting, config, devices))
      )
      with display.waiting(f"compiling {setting.text}"):
        ready.append(workers[-1].ask())
    with display.waiting("timing both in turn"):
      seconds = [[worker.ask() for worker in workers] for _ in range(rounds)]
  return summarize([setting.text for setting in settings], ready, seconds)


def summarize(
  texts: Sequence[str],
  ready: Sequence[Mapping[str, Any]],
  seconds: Sequence[Sequence[_Seconds]],
) -> dict[str, Any]:
  """Medians of both sides, and the spread of the ratio B / A of a round.

  Args:
    texts: what each side changes.
    ready: what each side says of itself.
    seconds: for each round and side the steps' times, by name.
  """
  names = list(seconds[0][0])
  sides = [
    {
      "setting": text,
      **{
        name: statistics.median(r[i][name] for r in seconds) for name in names
      },
      **said,
    }
    for i, (text, said) in enumerate(zip(texts, ready, strict=True))
  ]
  for side in sides:
    side["images_per_s"] = side["batch"] / side["step_s"]
  ratios = {name: [b[name] / a[name] for a, b in seconds] for name in names}
  return {
    "a": sides[0],
    "b": sides[1],
    "ratio": {
      name: {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
      }
      for name, values in ratios.items()
    },
    "rounds": len(seconds),
  }


def describe(result: Mapping[str, Any]) -> str:
  """The result of `run` in a few lines, for people."""
  lines = []
  for name, ratio in result["ratio"].items():
    for side in ("a", "b"):
      found = result[side]
      lines.append(
        f"{side.upper()}  {name:12s} {found[name]:8.4f} s  {found['setting']}"
        f" ({found['lowering']})"
      )
    lines.append(
      f"B/A {name:11s} {ratio['median']:8.3f}    from {ratio['min']:.3f} to "
      f"{ratio['max']:.3f} in {result['rounds']} rounds"
    )
  return "\n".join(lines)


def _to_arguments(name: str, value: str) -> list[str]:
  """A flag is given by its name, other fields with their value."""
  if value.lower() not in ("true", "false"):
    return [f"--{name}", value]
  section, dot, field = name.rpartition(".")
  prefix = "" if value.lower() == "true" else "no-"
  return [f"--{section}{dot}{prefix}{field}"]


class _Worker(NamedTuple):
  """A process that times one of each step for every line it is sent."""

  text: str
  process: subprocess.Popen[str]
  errors: IO[str]

  def ask(self) -> dict[str, Any]:
    """Asks for the next measurement; the first says that it is ready."""
    assert self.process.stdin is not None and self.process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
      self.process.stdin.write("\n")
      self.process.stdin.flush()
    line = self.process.stdout.readline()
    if line:
      return json.loads(line)
    code = self.process.wait()
    self.errors.seek(0)
    last = self.errors.read().strip().splitlines()[-1:] or [f"exit code {code}"]
    raise RuntimeError(f"--compare {self.text!r} failed: {last[0]}")


@contextlib.contextmanager
def _worker(
  what: str, setting: Setting, config: configs.Config, devices: int | None
) -> Iterator[_Worker]:
  import jax

  environment = {**os.environ, **setting.environment}
  cache = jax.config.values["jax_compilation_cache_dir"]
  if cache is not None:
    environment.setdefault("JAX_COMPILATION_CACHE_DIR", cache)
  task = {
    "what": what,
    "config": dataclasses.asdict(config),
    "devices": devices,
  }
  with tempfile.TemporaryFile("w+") as errors:
    process = subprocess.Popen(
      [sys.executable, "-m", "jnas.pipeline.compare", json.dumps(task)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=errors,
      env=environment,
      text=True,
    )
    try:
      yield _Worker(setting.text, process, errors)
    finally:
      process.kill()
      process.communicate()


def _serve(
  what: str, config: configs.Config, devices: int | None, requests: IO[str]
) -> None:
  """Compiles the steps, then times one of each for every line."""
  from jnas.pipeline import bench
  from jnas.training import memory, sharding

  memory.keep_freed_memory()
  sharding.use_devices(devices)
  answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
  os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
  workload = bench.WORKLOADS[what](config)
  timers = {
    name: bench.timer(bench.compile_step(function, workload), workload)
    for name, function in workload.steps.items()
  }
  for timer in timers.values():
    timer()  # the first step is slower
  said = {"lowering": bench.describe_lowering(), "batch": workload.batch_size}
  for number, _ in enumerate(requests):
    if number:
      said = {name: timer() for name, timer in timers.items()}
    print(json.dumps(said), file=answers, flush=True)


def _main() -> None:
  task = json.loads(sys.argv[1])
  try:
    config = configs.from_dict(task["config"])
    _serve(task["what"], config, task["devices"], sys.stdin)
  except ValueError as error:
    sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
  _main()
