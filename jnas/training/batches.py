"""From a batch of images to inputs, losses and sums: what all steps share."""

from typing import NamedTuple

import jax.numpy as jnp

from jnas.data import augment
from jnas.functional import objectives
from jnas.training import metrics
from jnas.types import Array, PRNGKey

Batch = dict[str, Array]


class Images(NamedTuple):
  """How images become inputs, settings of `augment.augment`.

  Attributes:
    mean: of each channel, pixels scaled to 0..1.
    std: of each channel.
    crop_padding: pixels; 0 for no crop.
    flip: whether to flip at random.
    cutout: side of the square; 0 for none.
    jitter: of brightness, contrast and saturation; 0 for none.
    hue: largest turn of the hue; 0 for none.
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]
  crop_padding: int
  flip: bool
  cutout: int
  jitter: float = 0.0
  hue: float = 0.0

  def training(self, key: PRNGKey, images: Array) -> Array:
    """Augmented inputs from `[B, H, W, C]` uint8; the key is consumed."""
    return augment.augment(
      key,
      images,
      mean=self.mean,
      std=self.std,
      crop_padding=self.crop_padding,
      flip=self.flip,
      cutout_size=self.cutout,
      jitter=self.jitter,
      hue=self.hue,
    )

  def plain(self, images: Array) -> Array:
    """Normalised inputs from `[B, H, W, C]` uint8."""
    return augment.normalize(images, self.mean, self.std)


def losses(logits: Array, labels: Array, label_smoothing: float = 0.0) -> Array:
  """Cross-entropy of each example, `[B]`."""
  return objectives.cross_entropy(
    logits, labels, label_smoothing=label_smoothing
  )


def hits(logits: Array, labels: Array) -> Array:
  """Whether each example is classified rightly, `[B]` booleans."""
  return jnp.argmax(logits, axis=-1) == labels


def add_sums(
  sums: metrics.MetricSums, losses: Array, logits: Array, labels: Array
) -> metrics.MetricSums:
  """The sums of an epoch with those of one more batch."""
  batch = metrics.batch_sums(
    losses, hits(logits, labels), jnp.ones_like(losses)
  )
  return metrics.add(sums, batch)
