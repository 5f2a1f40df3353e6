"""Batches of images that are decoded while the device computes.

A few threads read and decode the images of the batches to come, a bounded
number ahead, and each process does so only for the examples that its own
devices hold. What an example is depends on the order's row and column alone
(`streamed`), so there is no state of an iterator to save: a run resumes by
starting at another row.

Choice: threads of the standard library, not grain's worker processes. Pillow
releases the lock of the interpreter while it decodes and resizes, which is
nearly all there is to do; order and random numbers are functions of keys
already, which is what else a loader would bring.
"""

import collections
import concurrent.futures
import functools
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import jax
import numpy as np
from jax.sharding import NamedSharding

from jnas.data import placing
from jnas.types import Array, PRNGKey

# Batches that are being decoded while one is in use.
_AHEAD = 2


class Examples(Protocol):
  """What can be read one by one: images with a label, or with a mask each."""

  def empty(self, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Room for so many images and labels."""
    ...

  def example(
    self, position: int, draw: Sequence[int] | None
  ) -> tuple[np.ndarray, np.ndarray | np.int32]:
    """An image and its label; a crop for training is drawn from `draw`."""
    ...


def batches(
  split: Examples,
  order: np.ndarray,
  *,
  start: int = 0,
  crop_key: PRNGKey | None = None,
  sharding: NamedSharding | None = None,
) -> Iterator[dict[str, Array]]:
  """The batches of an order, one a step.

  All transfers are explicit, so it runs under the transfer guard.

  Args:
    split: the images.
    order: `[steps, B]` indices, on the host.
    start: first step to give, when a run resumes inside an epoch.
    crop_key: of the random crops of the whole order; None to see the images
      as in measuring.
    sharding: of the batches; None for the default device.

  Yields:
    `{"images": [B, H, W, 3] uint8, "labels": [B] int32}`, or masks
    `[B, H, W]` uint8 for labels.

  Raises:
    streamed.UnreadableError: if too many images cannot be read.
  """
  columns = placing.local_rows(order.shape[1], sharding)
  # Row and column follow: every crop has numbers of its own.
  seed = None if crop_key is None else _words(crop_key)
  waiting: collections.deque[_Decoding] = collections.deque()
  row = start
  try:
    while row < len(order) or waiting:
      while row < len(order) and len(waiting) <= _AHEAD:
        waiting.append(_begin(split, order, row, columns, seed))
        row += 1
      found = waiting[0].wait()
      waiting.popleft()
      yield {
        name: placing.from_rows(rows, columns, order.shape[1], sharding)
        for name, rows in found.items()
      }
  finally:
    for decoding in waiting:
      decoding.cancel()


class _Decoding(NamedTuple):
  """A batch on its way.

  Attributes:
    images: `[L, H, W, C]` uint8, which the threads fill.
    labels: of each, likewise.
    futures: one for each example.
  """

  images: np.ndarray
  labels: np.ndarray
  futures: list[concurrent.futures.Future[None]]

  def wait(self) -> dict[str, np.ndarray]:
    """The examples, all decoded; raises what a thread has raised."""
    for future in self.futures:
      future.result()
    return {"images": self.images, "labels": self.labels}

  def cancel(self) -> None:
    """Leaves what has not begun undone."""
    for future in self.futures:
      future.cancel()


def _begin(
  split: Examples,
  order: np.ndarray,
  row: int,
  columns: np.ndarray,
  seed: list[int] | None,
) -> _Decoding:
  """Hands the examples of a row to the threads."""
  images, labels = split.empty(len(columns))

  def fill(at: int) -> None:
    column = int(columns[at])
    draw = None if seed is None else [*seed, row, column]
    images[at], labels[at] = split.example(int(order[row, column]), draw)

  futures = [_threads().submit(fill, at) for at in range(len(columns))]
  return _Decoding(images, labels, futures)


def num_threads() -> int:
  """Threads that decode: as many as this process has cores."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


@functools.cache
def _threads() -> concurrent.futures.ThreadPoolExecutor:
  """The same threads for all loaders of the process."""
  return concurrent.futures.ThreadPoolExecutor(
    num_threads(), thread_name_prefix="decode"
  )


def _words(key: PRNGKey) -> list[int]:
  """A key as integers of the host."""
  return [int(word) for word in jax.device_get(jax.random.key_data(key))]
