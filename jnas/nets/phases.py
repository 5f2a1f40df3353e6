"""A stride that is taken back: the same layers on shifted images.

A layer of stride 2 looks at every second pixel. Fed with the image and with the
image shifted by one pixel down, to the right, and both, it looks at all of
them, and what follows runs on these four as on any images. Put together pixel
by pixel, the outputs are what dilated kernels would give: each layer behind
sees pixels two apart. Every operation can do it, with its weights as they are.

Source: the a trous algorithm of DeepLab (arXiv:1606.00915, Sec. 3.1); that
shifted inputs compute the same is in arXiv:1411.4038, Sec. 3.2.
Choice: zeros come in where a shift leaves the image, and at the first row and
column of a shifted image the layers see their own padding in place of the
pixels shifted out. Dilated kernels would see those: the outputs differ at odd
rows near the upper and odd columns near the left border, in one of each behind
the strided layer and in one more behind every layer of 3x3 after it.
"""

import chex
import jax.numpy as jnp

from jnas.types import Array

NUM_PHASES = 4


def split(x: Array, *, step: int = 1) -> Array:
  """The four shifts of each image.

  Args:
    x: `[B, H, W, C]`.
    step: pixels of a shift.

  Returns:
    `[4B, H, W, C]`; image b as it is, shifted to the left, up, and both, at
    4b to 4b + 3, so that a batch split over devices stays so.
  """
  chex.assert_rank(x, 4)
  batch, height, width, channels = x.shape
  padded = jnp.pad(x, ((0, 0), (0, step), (0, step), (0, 0)))
  shifted = [
    padded[:, down : down + height, right : right + width]
    for down in (0, step)
    for right in (0, step)
  ]
  stacked = jnp.stack(shifted, axis=1)
  return stacked.reshape(NUM_PHASES * batch, height, width, channels)


def join(y: Array) -> Array:
  """Puts together what a stride of 2 made of the four shifts.

  Args:
    y: `[4B, h, w, C]`, in the order of `split`.

  Returns:
    `[B, 2h, 2w, C]`; every second pixel is what the image as it is gave.
  """
  chex.assert_rank(y, 4)
  batch, height, width, channels = y.shape
  phases = y.reshape(batch // NUM_PHASES, 2, 2, height, width, channels)
  return phases.transpose(0, 3, 1, 4, 2, 5).reshape(
    batch // NUM_PHASES, 2 * height, 2 * width, channels
  )
