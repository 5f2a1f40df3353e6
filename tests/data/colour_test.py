"""Colours changed at random, against numbers worked by hand."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.data import augment, colour


def test_the_hue_turns_as_in_the_standard_library():
  random = np.random.default_rng(0)
  x = random.random((3, 4, 5, 3)).astype(np.float32)
  x[0, 0, 0] = 0.5  # grey has no hue
  turns = np.array([0.0, 0.2, -0.4], np.float32)
  got = colour.turn_hue(jnp.asarray(x), jnp.asarray(turns))
  for index in np.ndindex(3, 4, 5):
    hue, saturation, value = colorsys.rgb_to_hsv(*x[index])
    wanted = colorsys.hsv_to_rgb((hue + turns[index[0]]) % 1, saturation, value)
    np.testing.assert_allclose(got[index], wanted, atol=1e-5)


def test_a_third_of_the_circle_takes_red_to_green():
  red = jnp.array([1.0, 0.0, 0.0]).reshape(1, 1, 1, 3)
  got = colour.turn_hue(red, jnp.array([1 / 3]))
  np.testing.assert_allclose(got[0, 0, 0], [0, 1, 0], atol=1e-6)


def test_jitter_blends_with_black_mean_grey_and_grey():
  key, strength = jax.random.key(5), 0.4
  x = jnp.array([[0.2, 0.4, 0.3], [0.4, 0.3, 0.5]]).reshape(1, 1, 2, 3)
  got = colour.jitter(key, x, strength=strength, hue=0.0)
  bright, contrast, saturation = np.asarray(
    jax.random.uniform(jax.random.split(key)[0], (1, 3), minval=0.6, maxval=1.4)
  )[0]
  luma = np.array([0.299, 0.587, 0.114])
  wanted = np.clip(bright * np.asarray(x), 0, 1)
  wanted = contrast * wanted + (1 - contrast) * (wanted @ luma).mean()
  grey = (wanted @ luma)[..., None]
  wanted = saturation * wanted + (1 - saturation) * grey
  np.testing.assert_allclose(got, np.clip(wanted, 0, 1), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_stays_in_range_and_differs_between_images(channels):
  x = jnp.broadcast_to(
    jax.random.uniform(jax.random.key(0), (1, 6, 6, channels)),
    (4, 6, 6, channels),
  )
  got = jax.jit(lambda key, x: colour.jitter(key, x, strength=0.9, hue=0.5))(
    jax.random.key(1), x
  )
  assert got.shape == x.shape
  assert float(got.min()) >= 0 and float(got.max()) <= 1
  assert len({np.asarray(image).tobytes() for image in got}) == 4


def test_no_jitter_leaves_the_augmentation_as_it_is():
  images = jnp.arange(2 * 8 * 8 * 3, dtype=jnp.uint8).reshape(2, 8, 8, 3)
  given = {
    "mean": (0.5,) * 3,
    "std": (0.2,) * 3,
    "crop_padding": 2,
    "flip": True,
    "cutout_size": 2,
  }
  key = jax.random.key(0)
  plain = augment.augment(key, images, **given)
  same = augment.augment(key, images, **given, jitter=0.0, hue=0.0)
  other = augment.augment(key, images, **given, jitter=0.4, hue=0.2)
  np.testing.assert_array_equal(plain, same)
  assert not np.array_equal(plain, other)
