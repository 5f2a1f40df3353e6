"""Batches of images that stay on the device.

A split is put on the device once, as uint8. An epoch is an array of indices
drawn from a key, so that the order of the data is a function of the seed, the
epoch and the position, and a run resumes anywhere by drawing it again. The
indices are small and live on the host; one row a step goes to the device.

With several devices the images are on each of them and the batch is split
between them by the sharding given; without one, everything is on the default
device.
"""

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jnas.data import base, placing
from jnas.types import Array, PRNGKey

Batch = dict[str, Array]


class Resident(NamedTuple):
  """A split on the device.

  Attributes:
    images: `[N, H, W, C]` uint8.
    labels: `[N]` int32.
  """

  images: Array
  labels: Array


def put(
  split: base.Split, *, sharding: NamedSharding | None = None
) -> Resident:
  """Puts a split on the device, or on every device of the mesh.

  Args:
    split: the images and labels.
    sharding: of the batches to be drawn; only its mesh matters here.

  Returns:
    The same arrays on the device or devices, whole on each.
  """
  images, labels = placing.put(
    (split.images, split.labels), _replicated(sharding)
  )
  return Resident(images, labels)


def bilevel_split(
  key: PRNGKey, num_examples: int, fraction: float
) -> tuple[np.ndarray, np.ndarray]:
  """Divides a training split between network weights and architecture.

  Source: DARTS, Sec. 3.1 (fraction 0.5); UNAS, Sec. 4.1 (0.9).

  Args:
    key: consumed; one for the whole run.
    num_examples: images in the split.
    fraction: of the images, for the weights; strictly between 0 and 1.

  Returns:
    Two int32 arrays of indices, `[floor(fraction * N)]` for the weights and
    the rest for the architecture: a shuffled order cut in two.

  Raises:
    ValueError: one of the two would be empty.
  """
  # Rounded first, so that 0.29 of 100 is 29 and not, by its binary value, 28.
  num_train = math.floor(round(fraction * num_examples, 6))
  if not 0 < num_train < num_examples:
    raise ValueError(
      f"fraction {fraction} of {num_examples} examples leaves {num_train} "
      f"and {num_examples - num_train}; both parts need one or more: choose "
      "it between 0 and 1"
    )
  order = _permutation(key, num_examples)
  return order[:num_train], order[num_train:]


def epoch_order(
  key: PRNGKey,
  num_examples: int,
  batch_size: int,
  *,
  drop_last: bool = True,
) -> np.ndarray:
  """The order of one epoch: every example once, shuffled, in batches.

  Choice: what is left over after the last whole batch is dropped, so that all
  steps have one shape; it is another part of the data each epoch. The
  original codes train on it as a smaller batch. `drop_last=False` trains on
  it too, and fills the batch up with the first examples of the same order.

  Args:
    key: consumed; folded with the epoch by the caller.
    num_examples: examples of the split.
    batch_size: examples a step, on all devices together.
    drop_last: whether examples left over are dropped.

  Returns:
    `[steps, batch_size]` int32 indices, on the host.

  Raises:
    ValueError: the batch is below 1 or larger than the split.
  """
  num_steps = steps_per_epoch(num_examples, batch_size, drop_last=drop_last)
  order = _permutation(key, num_examples)
  return np.resize(order, (num_steps, batch_size))


def steps_per_epoch(
  num_examples: int, batch_size: int, *, drop_last: bool = True
) -> int:
  """The number of steps of `epoch_order`, for schedules and plans.

  Args:
    num_examples: examples of the split.
    batch_size: examples a step.
    drop_last: as for `epoch_order`.

  Returns:
    Steps, 1 or more.

  Raises:
    ValueError: the batch is below 1 or larger than the split.
  """
  if not 1 <= batch_size <= num_examples:
    raise ValueError(
      f"batch size is {batch_size}; the split has {num_examples} examples: "
      f"choose 1 to {num_examples}"
    )
  whole, left = divmod(num_examples, batch_size)
  return whole if drop_last or not left else whole + 1


class EvalOrder(NamedTuple):
  """Batches that hold every example once.

  Attributes:
    index: `[steps, batch_size]` int32, in order; padding points at example 0.
    mask: `[steps, batch_size]` float32, 1 for examples and 0 for padding. Sums
      weighted by it, over its sum, are exact means.
  """

  index: np.ndarray
  mask: np.ndarray


def eval_batches(num_examples: int, batch_size: int) -> EvalOrder:
  """The order in which a split is measured.

  Args:
    num_examples: examples of the split, 1 or more.
    batch_size: examples a step, 1 or more; may exceed the split.

  Returns:
    Indices and mask, on the host, of as many steps as it takes.

  Raises:
    ValueError: one of the numbers is below 1.
  """
  if num_examples < 1 or batch_size < 1:
    raise ValueError(
      f"cannot measure {num_examples} examples in batches of {batch_size}; "
      "both must be 1 or more"
    )
  num_steps = -(-num_examples // batch_size)
  position = np.arange(num_steps * batch_size).reshape(num_steps, batch_size)
  real = position < num_examples
  return EvalOrder(
    np.where(real, position, 0).astype(np.int32), real.astype(np.float32)
  )


def batches(
  resident: Resident,
  order: np.ndarray,
  *,
  start: int = 0,
  sharding: NamedSharding | None = None,
) -> Iterator[Batch]:
  """The batches of an order, one a step.

  All transfers are explicit, so it runs under the transfer guard.

  Args:
    resident: the split on the device.
    order: `[steps, B]` indices, on the host.
    start: first step to give, when a run resumes inside an epoch.
    sharding: of the batches; None for the default device.

  Yields:
    As `gather` returns them.
  """
  for row in order[start:]:
    index = placing.put(row, _replicated(sharding))
    yield gather(*resident, index, sharding=sharding)


@functools.partial(jax.jit, static_argnames="sharding")
def gather(
  images: Array,
  labels: Array,
  index: Array,
  *,
  sharding: NamedSharding | None = None,
) -> Batch:
  """Picks a batch.

  Args:
    images: `[N, H, W, C]`, on the device.
    labels: `[N]`.
    index: `[B]` integers, 0 to N-1.
    sharding: of the batch; its first axis is that of the examples.

  Returns:
    `{"images": [B, H, W, C], "labels": [B]}`.
  """
  batch = {
    "images": jnp.take(images, index, axis=0, mode="clip"),
    "labels": jnp.take(labels, index, axis=0, mode="clip"),
  }
  if sharding is None:
    return batch
  return jax.lax.with_sharding_constraint(batch, sharding)


def _permutation(key: PRNGKey, num_examples: int) -> np.ndarray:
  """A shuffled `arange` as int32, on the host."""
  return jax.device_get(_shuffle(key, num_examples=num_examples))


@functools.partial(jax.jit, static_argnames="num_examples")
def _shuffle(key: PRNGKey, *, num_examples: int) -> Array:
  return jax.random.permutation(key, jnp.arange(num_examples, dtype=jnp.int32))


def _replicated(sharding: NamedSharding | None) -> NamedSharding | None:
  """Whole on every device of the same mesh."""
  return sharding and NamedSharding(sharding.mesh, PartitionSpec())
