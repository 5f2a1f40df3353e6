"""Losses and measures of a class for every pixel.

Source: the PASCAL VOC challenge (2010 on): intersection over union of each
class, its mean over the classes; FCN (arXiv:1411.4038), Sec. 5, for both.
"""

import chex
import jax
import jax.numpy as jnp

from jnas.types import Array

# The class of pixels that count nowhere, in VOC's masks and in ours.
IGNORED = 255


def cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array]:
  """Cross-entropy of each pixel, in nats; 0 where it is ignored.

  Args:
    logits: `[B, H, W, K]`.
    labels: `[B, H, W]` integers, 0 to K-1 or `IGNORED`.

  Returns:
    `[B, H, W]` float32 losses, and `[B, H, W]` booleans, what counts.
  """
  chex.assert_rank([logits, labels], [4, 3])
  chex.assert_type(labels, int)
  counted = labels != IGNORED
  safe = jnp.where(counted, labels, 0).astype(jnp.int32)
  log_p = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
  picked = jnp.take_along_axis(log_p, safe[..., None], axis=-1)[..., 0]
  return jnp.where(counted, -picked, 0), counted


def confusion(predicted: Array, labels: Array, *, num_classes: int) -> Array:
  """How many pixels of each class were taken for each.

  Args:
    predicted: `[B, H, W]` integers, 0 to K-1.
    labels: `[B, H, W]` integers, 0 to K-1 or `IGNORED`.
    num_classes: K.

  Returns:
    `[K, K]` int32, a row for each true class, a column for each predicted one.
  """
  chex.assert_rank([predicted, labels], 3)
  chex.assert_type([predicted, labels], int)
  size = num_classes**2
  pairs = labels.astype(jnp.int32) * num_classes + predicted.astype(jnp.int32)
  # One bin more, for pixels that are ignored.
  pairs = jnp.where(labels != IGNORED, pairs, size)

  def count(pairs: Array) -> Array:  # of an image: each device has its own
    return jnp.zeros(size + 1, jnp.int32).at[pairs].add(1)

  counts = jax.vmap(count)(pairs.reshape(pairs.shape[0], -1)).sum(axis=0)
  return counts[:size].reshape(num_classes, num_classes)


def intersection_over_union(confusion_kk: Array) -> Array:
  """Intersection over union of each class.

  Args:
    confusion_kk: `[K, K]`, rows of true and columns of predicted classes.

  Returns:
    `[K]` float32; NaN for a class that is neither there nor predicted.
  """
  chex.assert_rank(confusion_kk, 2)
  counts = jnp.asarray(confusion_kk, jnp.float32)
  both = jnp.diagonal(counts)
  either = counts.sum(axis=0) + counts.sum(axis=1) - both
  return jnp.where(either > 0, both / jnp.maximum(either, 1), jnp.nan)


def mean_iou(confusion_kk: Array) -> Array:
  """Mean of the classes' intersection over union.

  Choice: a class that is neither there nor predicted is left out; as 0 or 1
  it would make the mean depend on classes that no image shows.

  Args:
    confusion_kk: `[K, K]`, of at least one pixel.

  Returns:
    `[]` float32.
  """
  return jnp.nanmean(intersection_over_union(confusion_kk))


def pixel_accuracy(confusion_kk: Array) -> Array:
  """Share of the pixels whose class is right, `[]` float32.

  Args:
    confusion_kk: `[K, K]`, of at least one pixel.
  """
  counts = jnp.asarray(confusion_kk, jnp.float32)
  return jnp.trace(counts) / jnp.maximum(counts.sum(), 1)
