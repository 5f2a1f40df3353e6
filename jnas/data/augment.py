"""Augmentation of small images: crop, flip, normalise, cutout.

Pure and jittable, to run on the device inside the training step. Every
example has draws of its own, which depend only on the key and on the
example's position in the batch: not on the batch's size, nor on how it is
spread over devices.

Source: the CIFAR recipe of DARTS (arXiv:1806.09055), which all methods here
share; cutout is arXiv:1708.04552.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from jnas.data import colour
from jnas.types import Array, PRNGKey


def augment(
  key: PRNGKey,
  images: Array,
  *,
  mean: Sequence[float],
  std: Sequence[float],
  crop_padding: int,
  flip: bool,
  cutout_size: int,
  jitter: float = 0.0,
  hue: float = 0.0,
) -> Array:
  """Augments a batch for training: crop, flip, colour, normalise, cutout.

  Args:
    key: consumed.
    images: `[B, H, W, C]` uint8.
    mean: `[C]` mean of each channel, pixels scaled to [0, 1].
    std: `[C]` standard deviation of each channel, likewise.
    crop_padding: pixels, see `random_crop`; 0 for none.
    flip: whether to mirror every other image on average; wrong for digits.
    cutout_size: pixels, see `cutout`; 0 for none.
    jitter: of brightness, contrast and saturation, see `colour.jitter`.
    hue: largest turn of the hue, likewise.

  Returns:
    `[B, H, W, C]` float32.
  """
  crop_key, flip_key, cutout_key = jax.random.split(key, 3)
  if crop_padding:
    images = random_crop(crop_key, images, padding=crop_padding)
  if flip:
    images = random_flip(flip_key, images)
  if jitter or hue:
    # A key of its own, so that the others are what they are without it.
    colour_key = jax.random.fold_in(key, 3)
    scaled = colour.jitter(
      colour_key, images.astype(jnp.float32) / 255, strength=jitter, hue=hue
    )
    x = _standardize(scaled, mean, std)
  else:
    x = normalize(images, mean, std)
  if cutout_size:
    x = cutout(cutout_key, x, size=cutout_size)
  return x


def normalize(
  images: Array, mean: Sequence[float], std: Sequence[float]
) -> Array:
  """Pixels to [0, 1], then less the mean, over the standard deviation.

  Args:
    images: `[B, H, W, C]` uint8.
    mean: `[C]` mean of each channel, pixels scaled to [0, 1].
    std: `[C]` standard deviation of each channel, above 0.

  Returns:
    `[B, H, W, C]` float32.
  """
  chex.assert_rank(images, 4)
  chex.assert_type(images, jnp.uint8)
  return _standardize(images.astype(jnp.float32) / 255, mean, std)


def _standardize(
  scaled: Array, mean: Sequence[float], std: Sequence[float]
) -> Array:
  """`[B, H, W, C]` in [0, 1], less the mean, over the standard deviation."""
  mean_c = jnp.asarray(mean, jnp.float32)
  std_c = jnp.asarray(std, jnp.float32)
  chex.assert_shape([mean_c, std_c], scaled.shape[3:])
  return (scaled - mean_c[None, None, None]) / std_c[None, None, None]


def random_crop(key: PRNGKey, x: Array, *, padding: int) -> Array:
  """Shifts every image by up to `padding` pixels each way, zeros coming in.

  The same as padding all sides and cutting out a window of the old size at a
  uniform place. Zero is black in images that are not yet normalised, which is
  where the recipe crops.

  Args:
    key: consumed.
    x: `[B, H, W, C]` of any type.
    padding: pixels, 0 or more.

  Returns:
    `[B, H, W, C]` of the same type.
  """
  chex.assert_rank(x, 4)
  batch = x.shape[0]
  # Both ends count: 0 to 2 * padding.
  corners = jax.random.randint(key, (batch, 2), 0, 2 * padding + 1)
  border = (padding, padding)
  padded = jnp.pad(x, ((0, 0), border, border, (0, 0)))

  def window(image: Array, corner: Array) -> Array:
    return jax.lax.dynamic_slice(image, (*corner, 0), x.shape[1:])

  return jax.vmap(window)(padded, corners)


def random_flip(key: PRNGKey, x: Array) -> Array:
  """Mirrors each image left to right with probability one half.

  Args:
    key: consumed.
    x: `[B, H, W, C]` of any type.

  Returns:
    `[B, H, W, C]` of the same type.
  """
  chex.assert_rank(x, 4)
  mirrored = jax.random.bernoulli(key, 0.5, (x.shape[0],))
  return jnp.where(mirrored[:, None, None, None], x[:, :, ::-1], x)


def cutout(key: PRNGKey, x: Array, *, size: int) -> Array:
  """Zeroes one square of each image, centred at a uniform pixel.

  The square is clipped at the border, so less than a square may go. After
  normalisation zero is the mean colour, which is where the recipe cuts.

  Args:
    key: consumed.
    x: `[B, H, W, C]`.
    size: pixels a side, 0 or more; of an even size, one pixel more lies before
      the centre than after it, as in the original.

  Returns:
    `[B, H, W, C]` of the same type.
  """
  chex.assert_rank(x, 4)
  batch, height, width, _ = x.shape
  limits = jnp.array([height, width])
  centres = jax.random.randint(key, (batch, 2), 0, limits[None, :])
  starts = centres - size // 2
  rows = jnp.arange(height)[None, :] - starts[:, :1]
  columns = jnp.arange(width)[None, :] - starts[:, 1:]
  in_rows = (rows >= 0) & (rows < size)
  in_columns = (columns >= 0) & (columns < size)
  hole = in_rows[:, :, None] & in_columns[:, None, :]
  return jnp.where(hole[..., None], jnp.zeros((), x.dtype), x)
