"""How a command starts, and how it stops on request."""

import argparse
import contextlib
import os
import pathlib
import sys
from typing import Any

from jnas import config as configs
from jnas import machines


def workdir(given: str | None, config: configs.Config) -> pathlib.Path:
  """The folder of a run: the one given, or runs/NAME-sSEED."""
  if given == "":
    raise ValueError("--workdir is empty; give the path of a folder")
  if given is not None:
    return pathlib.Path(given)
  return pathlib.Path("runs") / f"{config.name}-s{config.seed}"


def prepare_jax(options: argparse.Namespace | None = None) -> None:
  """Settings that must be made before the first compilation."""
  import jax

  from jnas.training import memory

  memory.keep_freed_memory()
  cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  if jax.config.values["jax_compilation_cache_dir"] is None:
    jax.config.update(
      "jax_compilation_cache_dir", str(pathlib.Path(cache) / "jnas" / "xla")
    )
  if options is not None:
    machines.start(options)


@contextlib.contextmanager
def stoppable(stopped: type[Exception], display: Any):
  """A stop on request is not an error: one line, exit code 0."""
  try:
    yield
  except stopped as error:
    display.say(str(error))
    sys.exit(0)
