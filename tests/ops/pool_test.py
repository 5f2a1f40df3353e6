"""SPEC 4.1, A2: windows and paddings of the pools, worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.ops import OPS, Settings

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def pool(name, image, stride, dtype):
  """A bare pool of one image `[H, W]`."""
  with jax.enable_x64(dtype == "float64"):
    module = OPS[name].build(
      features=1,
      stride=stride,
      targets=1,
      settings=Settings(affine=False, pool_norm=False),
    )
    x = jnp.asarray(image, dtype)[None, None, :, :, None]
    return np.asarray(module.apply({}, x, train=True))[0, 0, :, :, 0]


@each_dtype
def test_average_divides_by_the_pixels_inside_the_image(dtype):
  # A single 36 at (1, 1): 9 in the corner (4 pixels), 6 on the edge (6), 4
  # in the interior (9).
  image = np.zeros((4, 4))
  image[1, 1] = 36
  expected = [[9, 6, 6, 0], [6, 4, 4, 0], [6, 4, 4, 0], [0, 0, 0, 0]]
  np.testing.assert_array_equal(pool("avg_pool_3x3", image, 1, dtype), expected)
  # Stride 2: windows centred at 0 and 2, so 4, 6 and 9 pixels again. With the
  # padding (0, 1) of "SAME" all would be centred at 1 and 3.
  np.testing.assert_array_equal(
    pool("avg_pool_3x3", image, 2, dtype), [[9, 6], [6, 4]]
  )


@each_dtype
def test_the_average_of_a_constant_image_is_the_constant(dtype):
  for stride in (1, 2):
    averaged = pool("avg_pool_3x3", np.full((6, 4), 3.0), stride, dtype)
    assert averaged.shape == (6 // stride, 4 // stride)
    np.testing.assert_allclose(averaged, 3.0, rtol=1e-6)


@each_dtype
def test_padding_never_is_the_maximum(dtype):
  # -1 -2 -3 -4 / -5 -6 -7 -8 / -9 ... / -13 ... -16
  image = -np.arange(1.0, 17).reshape(4, 4)
  expected = [
    [-1, -1, -2, -3],
    [-1, -1, -2, -3],
    [-5, -5, -6, -7],
    [-9, -9, -10, -11],
  ]
  np.testing.assert_array_equal(pool("max_pool_3x3", image, 1, dtype), expected)
  np.testing.assert_array_equal(
    pool("max_pool_3x3", image, 2, dtype), [[-1, -2], [-5, -6]]
  )


@each_dtype
def test_strided_maxima_are_centred_on_even_pixels(dtype):
  image = np.arange(16.0).reshape(4, 4)
  np.testing.assert_array_equal(
    pool("max_pool_3x3", image, 2, dtype), [[5, 7], [13, 15]]
  )
