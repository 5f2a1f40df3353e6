"""Stopping a stage when asked to: SIGTERM from a scheduler, Ctrl-C from a user.

A signal only raises a flag. The loop asks for it after each step, saves, and
the program ends well; the same command goes on from there.
"""

import os
import signal
import threading
from types import FrameType

import jax
from jax.experimental import multihost_utils

_NOTICES = {
  signal.SIGTERM: b"SIGTERM: stopping after this step\n",
  signal.SIGINT: b"stopping after this step; Ctrl-C again ends at once\n",
}


class StopFlag:
  """Turns SIGTERM and the first SIGINT into a flag, for a `with` block.

  A SIGINT after either ends the process at once. Handlers that were there
  before come back at the end of the block. Outside the main thread, where
  Python cannot handle signals, the flag is never raised.

  With several processes SIGTERM belongs to JAX's preemption service: it may
  reach one process only, and all of them must stop after the same step.
  """

  def __init__(self) -> None:
    self._requested = False
    self._asked = 0
    self._previous = {}

  def __enter__(self) -> "StopFlag":
    if threading.current_thread() is not threading.main_thread():
      return self
    for number in _NOTICES:
      if number == signal.SIGTERM and jax.distributed.is_initialized():
        continue
      # None: a handler from outside Python, which could not be put back.
      if signal.getsignal(number) is not None:
        self._previous[number] = signal.signal(number, self._raise_flag)
    return self

  def __exit__(self, *_: object) -> None:
    for number, handler in self._previous.items():
      signal.signal(number, handler)
    self._previous = {}

  @property
  def requested(self) -> bool:
    """Whether to save and stop now. Ask once a step, in every process."""
    if jax.distributed.is_initialized() and not self._requested:
      self._asked += 1
      self._requested = multihost_utils.reached_preemption_sync_point(
        self._asked
      )
    return self._requested

  def _raise_flag(self, number: int, _: FrameType | None) -> None:
    if number == signal.SIGINT and self._requested:
      signal.signal(signal.SIGINT, signal.SIG_DFL)
      signal.raise_signal(signal.SIGINT)
    self._requested = True
    # Not print: the signal may have come in the middle of one.
    os.write(2, _NOTICES[signal.Signals(number)])


def stopped_line(step: int) -> str:
  """What to tell the user after a stop."""
  return f"stopped at step {step}; the same command continues"
