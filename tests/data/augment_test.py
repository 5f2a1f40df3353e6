import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.data import augment

KEY = jax.random.key(0)


def images_of(batch: int, height: int = 6, width: int = 5) -> jax.Array:
  """Images in which no two pixels of one image are equal, and none is 0."""
  pixels = 1 + np.arange(height * width * 3).reshape(1, height, width, 3)
  return jnp.asarray(np.repeat(pixels, batch, 0), jnp.uint8)


def shift_of(cropped: np.ndarray, image: np.ndarray) -> tuple[int, int]:
  """How far down and right the crop's window lies; counted from -2 to 2."""
  padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
  height, width, _ = image.shape
  found = [
    (down, right)
    for down in range(5)
    for right in range(5)
    if np.array_equal(
      padded[down : down + height, right : right + width], cropped
    )
  ]
  assert len(found) == 1
  return found[0]


# Compiled once each: one program is cheaper to compile than many operations.
RANDOM_CROP = jax.jit(augment.random_crop, static_argnames="padding")
RANDOM_FLIP = jax.jit(augment.random_flip)
CUTOUT = jax.jit(augment.cutout, static_argnames="size")
RECIPE = functools.partial(
  augment.augment,
  mean=(0.5, 0.5, 0.5),
  std=(0.25, 0.25, 0.25),
  crop_padding=2,
  flip=True,
  cutout_size=4,
)
COMPILED_RECIPE = jax.jit(RECIPE)


def test_normalize_by_hand():
  images = jnp.array([0, 51, 255], jnp.uint8).reshape(1, 1, 3, 1)
  # 51 / 255 = 0.2; (0 - 0.5) / 0.25 = -2; (0.2 - 0.5) / 0.25 = -1.2;
  # (1 - 0.5) / 0.25 = 2.
  x = augment.normalize(images, (0.5,), (0.25,))
  assert x.dtype == jnp.float32
  np.testing.assert_allclose(x.ravel(), [-2, -1.2, 2], rtol=1e-6)


def test_normalize_uses_each_channels_own_constants():
  images = jnp.full((2, 3, 3, 3), 255, jnp.uint8)
  x = augment.normalize(images, (0.0, 0.5, 0.75), (1.0, 0.5, 0.125))
  np.testing.assert_allclose(x[1, 2, 0], [1.0, 1.0, 2.0], rtol=1e-6)


def test_normalize_refuses_float_images():
  with pytest.raises(AssertionError):
    augment.normalize(jnp.zeros((1, 2, 2, 1)), (0.0,), (1.0,))


def test_every_crop_is_a_window_of_the_image_padded_with_zeros():
  images = images_of(64)
  cropped = RANDOM_CROP(KEY, images, padding=2)
  assert cropped.dtype == jnp.uint8
  for image, crop in zip(np.asarray(images), np.asarray(cropped), strict=True):
    shift_of(crop, image)


def test_crop_offsets_are_uniform_from_0_to_twice_the_padding():
  images = images_of(1000)
  cropped = np.asarray(RANDOM_CROP(KEY, images, padding=2))
  image = np.asarray(images[0])
  counts = np.zeros((5, 5), int)
  for crop in cropped:
    counts[shift_of(crop, image)] += 1
  # 1000 draws over 25 places: 40 each, standard deviation 6.2.
  assert np.all(np.abs(counts - 40) < 4.5 * 6.2)


def test_crop_without_padding_is_the_image():
  images = images_of(8)
  cropped = RANDOM_CROP(KEY, images, padding=0)
  np.testing.assert_array_equal(cropped, images)


def test_a_flip_mirrors_the_columns_of_half_the_images():
  images = images_of(4000)
  flipped = np.asarray(RANDOM_FLIP(KEY, images))
  image = np.asarray(images[0])
  mirrored = image[:, ::-1]
  is_mirrored = np.all(flipped == mirrored[None], axis=(1, 2, 3))
  is_same = np.all(flipped == image[None], axis=(1, 2, 3))
  assert np.all(is_mirrored ^ is_same)
  # 4000 coins: 2000, standard deviation 31.6.
  assert abs(is_mirrored.sum() - 2000) < 4 * 31.6


def hole_by_hand(
  row: int, column: int, size: int, height: int, width: int
) -> np.ndarray:
  """The original's loop: clip(y - size // 2) to clip(y + size // 2)."""
  hole = np.zeros((height, width), bool)
  top, bottom = np.clip([row - size // 2, row + size // 2], 0, height)
  left, right = np.clip([column - size // 2, column + size // 2], 0, width)
  hole[top:bottom, left:right] = True
  return hole


@pytest.mark.parametrize("size", [2, 4, 16])
def test_cutout_holes_are_those_of_the_original_at_uniform_pixels(size: int):
  height, width = 6, 5
  x = jnp.ones((3000, height, width, 2))
  cut = np.asarray(CUTOUT(KEY, x, size=size))
  assert np.array_equal(cut[..., 0], cut[..., 1])
  holes = cut[..., 0] == 0
  expected: dict[bytes, int] = {}
  for row in range(height):
    for column in range(width):
      hole = hole_by_hand(row, column, size, height, width)
      expected[hole.tobytes()] = expected.get(hole.tobytes(), 0) + 1
  found = {shape: 0 for shape in expected}
  for hole in holes:
    found[hole.tobytes()] += 1
  for shape, places in expected.items():
    mean = 3000 * places / (height * width)
    assert abs(found[shape] - mean) <= 4.5 * mean**0.5


def test_cutout_is_clipped_at_the_corners():
  # On 4x4, size 4: centre (0, 0) takes rows and columns -2..1, thus 2x2 = 4
  # pixels; centre (3, 3) takes 1..4, thus 3x3 = 9; no centre takes fewer
  # than 4, and (2, 2) takes 0..3, all 16.
  x = jnp.ones((500, 4, 4, 1))
  cut = np.asarray(CUTOUT(KEY, x, size=4))[..., 0]
  sizes = {int(size) for size in (cut == 0).sum(axis=(1, 2))}
  assert sizes == {4, 6, 8, 9, 12, 16}
  corner = np.ones((4, 4))
  corner[:2, :2] = 0
  assert any(np.array_equal(image, corner) for image in cut)
  corner = np.ones((4, 4))
  corner[1:, 1:] = 0
  assert any(np.array_equal(image, corner) for image in cut)


def test_cutout_of_an_odd_size_is_centred():
  x = jnp.ones((500, 5, 5, 1))
  cut = np.asarray(CUTOUT(KEY, x, size=3))[..., 0]
  sizes = {int(size) for size in (cut == 0).sum(axis=(1, 2))}
  assert sizes == {4, 6, 9}  # corner, side, inside


def test_augment_fills_with_black_and_cuts_out_the_mean():
  images = jnp.full((16, 6, 5, 3), 255, jnp.uint8)
  x = np.asarray(COMPILED_RECIPE(KEY, images))
  # White is (1 - 0.5) / 0.25 = 2, black -2, and a hole 0.
  assert set(np.unique(x.round(5))) == {-2.0, 0.0, 2.0}


def test_augment_with_everything_off_only_normalises():
  images = images_of(4)
  constants = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)}
  x = augment.augment(
    KEY, images, crop_padding=0, flip=False, cutout_size=0, **constants
  )
  np.testing.assert_array_equal(x, augment.normalize(images, **constants))


@pytest.mark.parametrize(
  ("compiled", "plain", "settings"),
  [
    (RANDOM_CROP, augment.random_crop, {"padding": 2}),
    (RANDOM_FLIP, augment.random_flip, {}),
    (CUTOUT, augment.cutout, {"size": 4}),
  ],
)
def test_each_part_is_the_same_with_and_without_jit(compiled, plain, settings):
  images = images_of(16)
  np.testing.assert_array_equal(
    compiled(KEY, images, **settings), plain(KEY, images, **settings)
  )


def test_augment_is_a_function_of_the_key():
  images = images_of(16)
  first = COMPILED_RECIPE(KEY, images)
  np.testing.assert_array_equal(first, COMPILED_RECIPE(KEY, images))
  other = COMPILED_RECIPE(jax.random.key(1), images)
  assert not np.array_equal(first, other)


def test_draws_of_an_example_do_not_depend_on_the_batch_size():
  images = images_of(16)
  np.testing.assert_array_equal(
    COMPILED_RECIPE(KEY, images)[:10], COMPILED_RECIPE(KEY, images[:10])
  )


def test_augment_does_not_depend_on_how_the_batch_is_spread():
  devices = jax.devices()
  mesh = jax.make_mesh(
    (len(devices),), ("data",), axis_types=(jax.sharding.AxisType.Auto,)
  )
  spread = jax.NamedSharding(mesh, jax.P("data"))
  whole = jax.NamedSharding(mesh, jax.P())
  images = images_of(16)
  on_all = jax.jit(RECIPE, in_shardings=(whole, spread), out_shardings=spread)
  np.testing.assert_array_equal(
    np.asarray(on_all(KEY, images)),
    np.asarray(COMPILED_RECIPE(KEY, images)),
  )
