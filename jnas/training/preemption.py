"""Stopping a stage when asked to: SIGTERM from a scheduler, Ctrl-C from a user.

A signal only raises a flag. The loop asks for it after each step, saves, and
the program ends well; the same command goes on from there.
"""

import os
import signal
import threading
from types import FrameType

from jnas.training import lost, processes

_NOTICES = {
  signal.SIGTERM: b"SIGTERM: stopping after this step\n",
  signal.SIGINT: b"stopping after this step; Ctrl-C again ends at once\n",
}


class StopFlag:
  """Turns SIGTERM and the first SIGINT into a flag, for a `with` block.

  A SIGINT after either ends the process at once. Handlers that were there
  before come back at the end of the block. Outside the main thread, where
  Python cannot handle signals, the flag is never raised.

  A signal may reach one of several processes only, and all must stop after
  the same step: `wanted` is of this process, `requested` of all of them.
  """

  def __init__(self) -> None:
    self.wanted = False
    self._previous = {}

  def __enter__(self) -> "StopFlag":
    if threading.current_thread() is not threading.main_thread():
      return self
    for number in _NOTICES:
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
    """Whether to save and stop now; ask equally often in every process."""
    return processes.wished_by_any(self.wanted)

  def _raise_flag(self, number: int, _: FrameType | None) -> None:
    if number == signal.SIGINT and self.wanted:
      signal.signal(signal.SIGINT, signal.SIG_DFL)
      signal.raise_signal(signal.SIGINT)
    self.wanted = True
    if processes.is_first():
      # Not print: the signal may have come in the middle of one.
      os.write(lost.stderr(), _NOTICES[signal.Signals(number)])


def stopped_line(step: int) -> str:
  """What to tell the user after a stop."""
  return f"stopped at step {step}; the same command continues"
