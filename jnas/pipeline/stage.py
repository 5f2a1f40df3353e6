"""What the stages share: compiled steps, placed data, measures, saves.

Stopping is here too: a stage that is asked to stop saves and raises.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from jnas.data import loader, placing, prefetch
from jnas.data.base import AnySplit, Split
from jnas.data.masked import MaskedSplit
from jnas.data.streamed import StreamedSplit
from jnas.pipeline import display
from jnas.training import (
  checkpoint,
  memory,
  metrics,
  preemption,
  processes,
  sharding,
)
from jnas.types import Array, PRNGKey

Sums = TypeVar("Sums")


class Stopped(Exception):
  """A stage saved its state and ended early because it was asked to."""


class Placed(NamedTuple):
  """A split as the devices are given it.

  Attributes:
    data: the split, on every device; or, read one by one, where it is stored.
    batch_size: images in a batch.
    sharding: how a batch is split over the devices.
  """

  data: loader.Resident | StreamedSplit | MaskedSplit
  batch_size: int
  sharding: jax.sharding.NamedSharding

  @property
  def num_images(self) -> int:
    """Images of the split."""
    if isinstance(self.data, loader.Resident):
      return self.data.labels.shape[0]
    return len(self.data)

  def batches(
    self,
    order: np.ndarray,
    *,
    start: int = 0,
    crop_key: PRNGKey | None = None,
  ) -> Iterator[loader.Batch]:
    """The batches of an order.

    Args:
      order: `[steps, B]` indices.
      start: the first step to give.
      crop_key: for training on the whole order, what random crops of streamed
        images are drawn from; None to see images as in measuring. Images on
        the devices are cropped there.
    """
    if isinstance(self.data, loader.Resident):
      return loader.batches(
        self.data, order, start=start, sharding=self.sharding
      )
    return prefetch.batches(
      self.data,
      order,
      start=start,
      crop_key=crop_key,
      sharding=self.sharding,
    )

  def first(self) -> loader.Batch:
    """A batch to compile for."""
    order = np.arange(self.batch_size, dtype=np.int32)[None]
    if not isinstance(self.data, loader.Resident):
      order %= self.num_images
    return next(self.batches(order))


def place(
  state: Any, *splits: AnySplit | MaskedSplit, batch_size: int
) -> tuple[Any, ...]:
  """The state and the splits on the devices, in the order given."""
  mesh = sharding.make_mesh()
  batch_sharding = sharding.split(mesh)
  placed = [
    Placed(
      loader.put(split, sharding=batch_sharding)
      if isinstance(split, Split)
      else split,
      batch_size,
      batch_sharding,
    )
    for split in splits
  ]
  return placing.put(state, sharding.replicated(mesh)), *placed


def compile_step(
  what: str, function: Callable[..., Any], *args: Any, **jit_options: Any
) -> Any:
  """Compiles a step for arguments like these, showing that it goes on."""
  with display.waiting(f"compiling the {what}"):
    return _Waited(jit(function, **jit_options).lower(*args).compile())


class _Waited:
  """A compiled program, waited for where that must be."""

  def __init__(self, compiled: jax.stages.Compiled) -> None:
    self._compiled = compiled
    self.memory_analysis = compiled.memory_analysis

  def __call__(self, *args: Any) -> Any:
    return sharding.wait(self._compiled(*args))


def jit(function: Callable[..., Any], **options: Any) -> Any:
  """`jax.jit`, so that `jax.checkpoint` saves memory on CPU too.

  XLA on CPU drops the barriers that keep what is computed again behind the
  forward pass, and then computes it early and stores it all the same.
  """
  if jax.default_backend() == "cpu":
    options["compiler_options"] = {
      "xla_disable_hlo_passes": "cse_barrier_expander"
    }
  return jax.jit(function, **options)


def peak_bytes(*compiled: jax.stages.Compiled) -> int:
  """The largest memory that any of these programs needs on one device."""
  return max(memory.compiled_peak_bytes(program) for program in compiled)


def measure(
  evaluate: Callable[[loader.Batch, Array], metrics.MetricSums], split: Placed
) -> metrics.Means:
  """Means over every image of a split.

  Args:
    evaluate: `(batch, mask [B]) -> sums`; the mask is 0 for padding.
    split: what to measure on.
  """
  return metrics.mean(add_up(evaluate, split))


def add_up(
  evaluate: Callable[[loader.Batch, Array], Sums], split: Placed
) -> Sums:
  """Sums over every image of a split, still on the device.

  Args:
    evaluate: `(batch, mask [B]) -> sums`; the mask is 0 for padding.
    split: what to measure on.
  """
  order = loader.eval_batches(split.num_images, split.batch_size)
  sums = [
    evaluate(batch, placing.put(mask, split.sharding))
    for batch, mask in zip(split.batches(order.index), order.mask, strict=True)
  ]
  return functools.reduce(metrics.add, sums)


class Saver:
  """Saves after some time and on request to stop; ends the stage then.

  Several processes save and stop after the same step, by the clock of the
  first one, and a step later than one process alone would.
  """

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
    self._ballot = processes.Ballot()

  def save(
    self,
    step: int,
    state: Any,
    meta: Mapping[str, Any],
    *,
    score: float | None = None,
  ) -> None:
    """Saves now; raises `Stopped` if asked to stop."""
    self._save(step, state, meta, score=score, stop=self._stop.requested)

  def after_step(self, step: int, state: Any, meta: Mapping[str, Any]) -> None:
    """Saves if it is time or if asked to stop, and raises `Stopped` then."""
    late = time.monotonic() - self._last >= self._seconds
    # A save that failed is not found out only when the next one is due.
    late = late or self._checkpoints.failed()
    stop, save = self._ballot.cast(
      self._stop.wanted, late and processes.is_first()
    )
    if stop or save:
      self._save(step, state, meta, score=None, stop=stop)

  def _save(
    self,
    step: int,
    state: Any,
    meta: Mapping[str, Any],
    *,
    score: float | None,
    stop: bool,
  ) -> None:
    self._checkpoints.save(step, state, meta, score=score)
    self._last = time.monotonic()
    if stop:
      self._checkpoints.wait()
      raise Stopped(preemption.stopped_line(step))


class Clock:
  """Seconds a stage has run, over all its restarts."""

  def __init__(self, before: float) -> None:
    self._before = before
    self._began = time.monotonic()

  @property
  def seconds(self) -> float:
    """Seconds so far."""
    return self._before + time.monotonic() - self._began
