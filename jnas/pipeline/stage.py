"""What the training stages share: compiled steps, timed saves, stopping."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jnas.pipeline import display
from jnas.training import checkpoint, memory, preemption


class Stopped(Exception):
  """A stage saved its state and ended early because it was asked to."""


def compile_step(
  what: str, function: Callable[..., Any], *args: Any, **jit_options: Any
) -> jax.stages.Compiled:
  """Compiles a step for arguments like these, showing that it goes on."""
  with display.waiting(f"compiling the {what}"):
    return jax.jit(function, **jit_options).lower(*args).compile()


def peak_bytes(*compiled: jax.stages.Compiled) -> int:
  """The largest memory that any of these programs needs on one device."""
  return max(memory.compiled_peak_bytes(program) for program in compiled)


class Saver:
  """Saves after some time and on request to stop; ends the stage then."""

  def __init__(
    self,
    checkpoints: checkpoint.Checkpoints,
    stop: preemption.StopFlag,
    *,
    seconds: float,
  ) -> None:
    self._checkpoints = checkpoints
    self._stop = stop
    self._seconds = seconds
    self._last = time.monotonic()

  def save(self, step: int, state: Any, meta: Mapping[str, Any]) -> None:
    """Saves now."""
    self._checkpoints.save(step, state, meta)
    self._last = time.monotonic()

  def after_step(self, step: int, state: Any, meta: Mapping[str, Any]) -> None:
    """Saves if it is time; saves and raises `Stopped` if asked to stop."""
    if self._stop.requested:
      self.save(step, state, meta)
      raise Stopped(preemption.stopped_line(step))
    if time.monotonic() - self._last >= self._seconds:
      self.save(step, state, meta)


class Clock:
  """Seconds a stage has run, over all its restarts."""

  def __init__(self, before: float) -> None:
    self._before = before
    self._began = time.monotonic()

  @property
  def seconds(self) -> float:
    """Seconds so far."""
    return self._before + time.monotonic() - self._began
