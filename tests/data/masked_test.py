"""Images and masks that are scaled, cut and mirrored together."""

import jax
import numpy as np
import pytest

from jnas.data import masked, prefetch

COLOURS = np.array([[10, 20, 30], [200, 40, 90], [60, 220, 140]], np.uint8)
FILL = (1, 2, 3)


def painted(height=40, width=56):
  """A mask of large areas, and an image that shows each in its colour."""
  mask = np.zeros((height, width), np.uint8)
  mask[8:24, 10:40] = 1
  mask[20:36, 30:50] = 2
  mask[:4] = masked.IGNORED
  shown = np.where(mask == masked.IGNORED, 0, mask)
  return COLOURS[shown], mask


def view_of(**changes):
  return masked.View(32, 64, 0.5, 2.0, True, FILL)._replace(**changes)


def split_of(count=6, training=True, **changes):
  image, mask = painted()
  return masked.MaskedSplit(
    count, lambda at: (image, mask), str, view_of(**changes), training
  )


def inside(mask):
  """Pixels whose neighbours are all seen, and all of their class."""
  padded = np.pad(mask, 2, constant_values=254)
  same = np.ones_like(mask, bool)
  for down in range(5):
    for right in range(5):
      window = padded[down:, right:][: len(mask), : mask.shape[1]]
      same &= window == mask
  return same


@pytest.mark.parametrize("seed", range(12))
def test_every_pixel_of_a_mask_lies_on_its_thing_after_any_augmentation(seed):
  image, mask = split_of().example(0, [seed])
  assert image.shape == (32, 32, 3) and mask.shape == (32, 32)
  counted = inside(mask) & (mask != masked.IGNORED)
  assert counted.any()
  np.testing.assert_array_equal(image[counted], COLOURS[mask[counted]])
  assert set(np.unique(mask)) <= {0, 1, 2, masked.IGNORED}


def test_what_is_beyond_the_image_has_the_fill_and_is_ignored():
  image, mask = split_of(scale_min=0.5, scale_max=0.5, flip=False).example(
    0, [1]
  )
  # 40x56 halved is 20x28.
  assert (mask[20:] == masked.IGNORED).all()
  assert (mask[:, 28:] == masked.IGNORED).all()
  assert (image[20:] == FILL).all() and (image[:, 28:] == FILL).all()


def test_a_flip_mirrors_both():
  view = view_of(scale_min=1.0, scale_max=1.0)
  image, mask = painted()
  for seed in range(6):
    plain, mirrored = (
      masked.augment(
        np.random.default_rng(seed), image, mask, view._replace(flip=flip)
      )
      for flip in (False, True)
    )
    assert np.array_equal(plain[0], mirrored[0][:, ::-1]) == np.array_equal(
      plain[1], mirrored[1][:, ::-1]
    )
    if not np.array_equal(plain[1], mirrored[1]):
      np.testing.assert_array_equal(plain[1], mirrored[1][:, ::-1])


def test_windows_reach_every_corner():
  # A mark in each corner of the image must be seen in some window.
  image, mask = painted()
  seen = set()
  mask = np.zeros_like(mask)
  mask[0, 0], mask[0, -1], mask[-1, 0], mask[-1, -1] = 1, 2, 3, 4
  view = view_of(scale_min=1.0, scale_max=1.0, flip=False)
  for seed in range(2000):
    _, cut = masked.augment(np.random.default_rng(seed), image, mask, view)
    seen |= set(np.unique(cut))
  assert seen == {0, 1, 2, 3, 4}


def test_measuring_sees_the_whole_image_as_it_is():
  image, mask = painted()
  whole, classes = split_of(training=False).example(0, None)
  assert whole.shape == (64, 64, 3)
  np.testing.assert_array_equal(whole[:40, :56], image)
  np.testing.assert_array_equal(classes[:40, :56], mask)
  assert (classes[40:] == masked.IGNORED).all()
  assert (whole[:, 56:] == FILL).all()


def test_grey_images_keep_their_one_channel():
  mask = np.zeros((8, 8), np.uint8)
  split = masked.MaskedSplit(
    1,
    lambda at: (np.full((8, 8), 7, np.uint8), mask),
    str,
    view_of(fill=(3,)),
    True,
  )
  image, _ = split.example(0, [0])
  assert image.shape == (32, 32, 1) and set(np.unique(image)) == {3, 7}


def test_batches_are_the_same_again_from_any_step():
  split = split_of()
  order = np.arange(12).reshape(6, 2) % 6

  def batches(start, seed):
    found = prefetch.batches(
      split, order, start=start, crop_key=jax.random.key(seed)
    )
    return [jax.device_get(batch) for batch in found]

  whole, rest, other = batches(0, 0), batches(3, 0), batches(0, 1)
  assert whole[0]["images"].shape == (2, 32, 32, 3)
  assert whole[0]["labels"].shape == (2, 32, 32)
  for first, second in zip(whole[3:], rest, strict=True):
    for name in first:
      np.testing.assert_array_equal(first[name], second[name])
  assert not np.array_equal(whole[0]["images"], other[0]["images"])
  assert not np.array_equal(whole[0]["labels"][0], whole[0]["labels"][1])


def test_an_unknown_class_is_refused_by_name():
  mask = np.array([[0, 2], [255, 1]], np.uint8)
  masked.check_mask(mask, 3, "m")
  with pytest.raises(ValueError, match="m holds the class 2; with 2 classes"):
    masked.check_mask(mask, 2, "m")
