"""Colours of images, changed at random: pure functions of a key, jittable.

Source: torchvision's ColorJitter, which the papers' ImageNet recipe uses
(SPEC 3.0, "Data": brightness, contrast, saturation 0.4, hue 0.2).
Choice: always in the order brightness, contrast, saturation, hue; torchvision
draws the order too.
"""

import chex
import jax
import jax.numpy as jnp

from jnas.types import Array, PRNGKey

# Luma of red, green and blue (ITU-R 601-2), as in Pillow and torchvision.
_LUMA = (0.299, 0.587, 0.114)


def jitter(key: PRNGKey, x: Array, *, strength: float, hue: float) -> Array:
  """Changes brightness, contrast, saturation and hue of every image.

  Each of the first three is blended with black, the image's mean grey, and
  its own grey: `factor * x + (1 - factor) * other`, the factor uniform in
  `1 - strength` to `1 + strength`. Grey images have neither of the last two.

  Args:
    key: consumed; each image has draws of its own.
    x: `[B, H, W, C]` float32 in [0, 1], C 1 or 3.
    strength: 0 to 1.
    hue: largest turn either way, as a share of the circle, 0 to 0.5.

  Returns:
    `[B, H, W, C]` float32 in [0, 1].
  """
  chex.assert_rank(x, 4)
  factor_key, hue_key = jax.random.split(key)
  factors = jax.random.uniform(
    factor_key,
    (x.shape[0], 3),
    minval=1 - strength,
    maxval=1 + strength,
  )
  bright, contrast, saturation = (
    factors[:, i, None, None, None] for i in range(3)
  )
  if strength:
    x = jnp.clip(bright * x, 0, 1)
    mean = jnp.mean(_grey(x), axis=(1, 2), keepdims=True)
    x = jnp.clip(contrast * x + (1 - contrast) * mean, 0, 1)
    x = jnp.clip(saturation * x + (1 - saturation) * _grey(x), 0, 1)
  if hue and x.shape[3] == 3:
    turns = jax.random.uniform(hue_key, (x.shape[0],), minval=-hue, maxval=hue)
    x = turn_hue(x, turns)
  return x


def turn_hue(x: Array, turns: Array) -> Array:
  """Turns the hue, keeping the largest and smallest channel of a pixel.

  Args:
    x: `[B, H, W, 3]` in [0, 1].
    turns: `[B]`, shares of the circle; a third takes red to green.

  Returns:
    `[B, H, W, 3]`.
  """
  chex.assert_shape(x, (None, None, None, 3))
  red, green, blue = x[..., 0], x[..., 1], x[..., 2]
  largest = jnp.max(x, axis=-1)
  chroma = largest - jnp.min(x, axis=-1)
  safe = jnp.where(chroma > 0, chroma, 1.0)
  # Sixths of the circle; a grey pixel has no hue, and chroma 0 below.
  sixths = jnp.where(
    largest == red,
    (green - blue) / safe,
    jnp.where(
      largest == green, 2 + (blue - red) / safe, 4 + (red - green) / safe
    ),
  )
  sixths = sixths + 6 * turns[:, None, None]
  # HSV to RGB: https://en.wikipedia.org/wiki/HSL_and_HSV, "HSV to RGB
  # alternative".
  channels = []
  for first in (5, 3, 1):
    place = jnp.mod(first + sixths, 6)
    share = jnp.clip(jnp.minimum(place, 4 - place), 0, 1)
    channels.append(largest - chroma * share)
  return jnp.stack(channels, axis=-1)


def _grey(x: Array) -> Array:
  """`[B, H, W, 1]`, how bright each pixel is."""
  if x.shape[3] != 3:
    return jnp.mean(x, axis=3, keepdims=True)
  luma_c = jnp.asarray(_LUMA, x.dtype)
  return jnp.sum(x * luma_c[None, None, None], axis=3, keepdims=True)
