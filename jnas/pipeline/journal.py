"""What a selection writes down as it goes: records, then states.

The record of an event is written, then the state after it is saved; a restart
drops the records after the state that it finds, and makes them again.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jnas.data import placing
from jnas.pipeline import display, epochs, stage
from jnas.training import metrics, preemption
from jnas.training.state import SelectionState


class Journal:
  """Records, checkpoints and progress of a selection.

  Attributes:
    count: events so far; each has a number of its own, in order.
    restored: the state to go on from, None for a fresh start.
  """

  def __init__(
    self,
    file: metrics.MetricsFile,
    saver: stage.Saver,
    clock: stage.Clock,
    bar: display.Progress,
    restored: SelectionState | None,
    count: int,
  ) -> None:
    self.count = count
    self.restored = restored
    self._file, self._saver, self._clock = file, saver, clock
    self._bar = bar

  @property
  def seconds(self) -> float:
    """Seconds that the stage has taken, over all its restarts."""
    return self._clock.seconds

  def reach(self, count: int, loss: float) -> None:
    """Shows that so many events are done."""
    self.count = count
    self._bar.update(count, loss)

  def write(self, kind: str, **fields: Any) -> None:
    """Writes the record of the last event."""
    self._file.write({"kind": kind, "step": self.count, **fields})

  def save(self, state: SelectionState) -> None:
    """Saves the state after the last event; ends the stage if asked to."""
    self._saver.save(
      self.count, self._counted(state), {"seconds": self.seconds}
    )

  def save_in_time(self, state: SelectionState) -> None:
    """The same, but only if it is time or if asked to end."""
    self._saver.after_step(
      self.count, self._counted(state), {"seconds": self.seconds}
    )

  def _counted(self, state: SelectionState) -> SelectionState:
    return state._replace(count=put(self.count, state))


def put(value: int, state: SelectionState) -> jax.Array:
  """A counter of the state, on its devices."""
  return placing.put(np.int32(value), state.search.step.sharding)


@contextlib.contextmanager
def open_journal(
  path: pathlib.Path,
  target: SelectionState,
  *,
  title: str,
  num_events: int,
  config_hash: str,
  header: dict[str, Any],
  stop: preemption.StopFlag,
  checkpoint_seconds: float,
) -> Iterator[Journal]:
  """The journal of a selection, for a `with` block.

  Args:
    path: folder of the stage.
    target: what a state looks like.
    title: of the progress line.
    num_events: events of the whole stage.
    config_hash: that the checkpoints must be of.
    header: first record of a fresh run.
    stop: whether to stop.
    checkpoint_seconds: the longest time between two saves.
  """
  file = metrics.MetricsFile(path / "metrics.jsonl")
  with contextlib.ExitStack() as stack:
    checkpoints = epochs.open_checkpoints(path, config_hash)
    stack.callback(epochs.tell_times, title, checkpoints)
    stack.enter_context(checkpoints)
    found = checkpoints.restore(target)
    count, seconds = 0, 0.0
    if found is None:
      file.truncate_after(None)
      file.write({"kind": "header", **header})
    else:
      count, seconds = found.step, found.meta["seconds"]
      file.truncate_after(count)
      display.say(
        f"{title}: going on from step {count} of {num_events}, read in "
        f"{found.seconds:.2f} s"
      )
    yield Journal(
      file,
      stage.Saver(checkpoints, stop, seconds=checkpoint_seconds),
      stage.Clock(seconds),
      stack.enter_context(display.progress(title, num_events)),
      None if found is None else found.state,
      count,
    )
