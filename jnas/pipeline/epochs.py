"""The epochs of a stage: restored, run, recorded and saved.

The order of events is what makes a killed run the same as an uninterrupted
one: the record of an epoch is written, then its state is saved; a restart
drops the records after the state that it finds.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import jax

from jnas.pipeline import display, stage
from jnas.training import checkpoint, loop, metrics, preemption, processes
from jnas.types import Array

State = TypeVar("State")

# The newest checkpoint may be damaged; another one to walk back to.
KEPT_CHECKPOINTS = 2


@dataclasses.dataclass(frozen=True)
class Epochs(Generic[State]):
  """What a stage does in its epochs.

  Attributes:
    title: of the progress line.
    num_epochs: epochs.
    steps_per_epoch: steps in each.
    images_per_step: images that a step reads, for the rate.
    batches: `(epoch, first step) -> batches`, what each step reads.
    advance: `(state, batch) -> (state, loss [])`.
    finish: `(state, epoch) -> (state, record)`: what the record of an epoch
      says, and the state that the next one begins with.
    line: what people see of a record.
    score: the field of a record by which the best checkpoint is kept; "" to
      keep the newest ones only.
  """

  title: str
  num_epochs: int
  steps_per_epoch: int
  images_per_step: int
  batches: Callable[[int, int], Iterable[Any]]
  advance: Callable[[State, Any], tuple[State, Array]]
  finish: Callable[[State, int], tuple[State, dict[str, Any]]]
  line: Callable[[dict[str, Any]], str]
  score: str = ""

  @property
  def num_steps(self) -> int:
    """Steps of all epochs."""
    return self.num_epochs * self.steps_per_epoch


def open_checkpoints(
  path: pathlib.Path, config_hash: str
) -> checkpoint.Checkpoints:
  """The checkpoints of a stage, in its folder."""
  return checkpoint.Checkpoints(
    path / "checkpoints", config_hash=config_hash, keep=KEPT_CHECKPOINTS
  )


def tell_times(title: str, checkpoints: checkpoint.Checkpoints) -> None:
  """Says what saving has taken, if anything was saved."""
  if checkpoints.times.saves:
    display.say(f"{title}: {checkpoints.times}")


def run(
  epochs: Epochs[State],
  state: State,
  *,
  path: pathlib.Path,
  config_hash: str,
  header: dict[str, Any],
  stop: preemption.StopFlag,
  checkpoint_seconds: float,
) -> tuple[State, dict[str, Any], float]:
  """Runs the epochs that the stage's folder does not hold yet.

  Args:
    epochs: what to do.
    state: before the first step; replaced by a newer one from the folder.
    path: folder of the stage.
    config_hash: that the checkpoints must be of.
    header: first record of a fresh run.
    stop: whether to stop.
    checkpoint_seconds: the longest time between two saves.

  Returns:
    The last state, the record of the last epoch, and the seconds that the
    stage took over all its restarts.

  Raises:
    stage.Stopped: if asked to stop; the state is saved.
    loop.NonFiniteError: if a loss is not finite.
  """
  file = metrics.MetricsFile(path / "metrics.jsonl")
  with contextlib.ExitStack() as stack:
    checkpoints = open_checkpoints(path, config_hash)
    stack.callback(tell_times, epochs.title, checkpoints)
    stack.enter_context(checkpoints)
    restored = checkpoints.restore(state)
    first_step, seconds = 0, 0.0
    if restored is None:
      file.truncate_after(None)
      file.write({"kind": "header", **header})
    else:
      first_step, state = restored.step, restored.state
      seconds = restored.meta["seconds"]
      file.truncate_after(first_step)
      display.say(
        f"{epochs.title}: going on from step {first_step} of "
        f"{epochs.num_steps}, read in {restored.seconds:.2f} s"
      )
    clock = stage.Clock(seconds)
    saver = stage.Saver(checkpoints, stop, seconds=checkpoint_seconds)
    bar = stack.enter_context(display.progress(epochs.title, epochs.num_steps))

    def after_step(state: State, step: int, loss: float) -> None:
      bar.update(step, loss)
      # An epoch's last state is saved after the epoch's record.
      if step % epochs.steps_per_epoch:
        saver.after_step(step, state, {"seconds": clock.seconds})

    first_epoch = first_step // epochs.steps_per_epoch
    for epoch in range(first_epoch, epochs.num_epochs):
      begin = epoch * epochs.steps_per_epoch
      end = begin + epochs.steps_per_epoch
      done = max(first_step - begin, 0)
      epoch_clock = stage.Clock(0.0)
      batches = epochs.batches(epoch, done)
      with jax.transfer_guard("disallow"):
        state = loop.run_steps(
          state,
          batches,
          advance=epochs.advance,
          after_step=after_step,
          first_step=begin + done,
        )
      images = epochs.images_per_step * (epochs.steps_per_epoch - done)
      images_per_s = images / epoch_clock.seconds
      state, record = epochs.finish(state, epoch)
      record = {
        "kind": "epoch",
        "epoch": epoch,
        "step": end,
        **record,
        "images_per_s": images_per_s,
        "seconds": clock.seconds,
      }
      file.write(record)
      display.say(
        f"{epochs.title}: epoch {epoch + 1} of {epochs.num_epochs}, "
        f"{epochs.line(record)}"
      )
      saver.save(
        end,
        state,
        {"seconds": clock.seconds},
        score=record.get(epochs.score),
      )
  last = processes.from_first(
    lambda: [item for item in file.read() if item["kind"] == "epoch"][-1]
  )
  return state, last, clock.seconds
