import numpy as np
import pytest

from jnas.data import base, reduce


def test_the_head_takes_one_image_of_each_class_in_turn():
  labels = np.array([0, 0, 0, 1, 1, 2, 0])
  # Turns: 0, 3, 5; then 1, 4; then 2; then 6. Ascending within a head.
  for limit, wanted in (
    (1, [0]),
    (3, [0, 3, 5]),
    (5, [0, 1, 3, 4, 5]),
    (6, [0, 1, 2, 3, 4, 5]),
    (7, [0, 1, 2, 3, 4, 5, 6]),
  ):
    index = reduce.balanced_head(labels, limit, "limit")
    np.testing.assert_array_equal(index, wanted)


def test_the_head_of_interleaved_labels_is_the_head_of_the_file():
  labels = np.tile([3, 1, 0, 2], 25)
  for limit in (1, 6, 40, 99, 100):
    index = reduce.balanced_head(labels, limit, "limit")
    np.testing.assert_array_equal(index, np.arange(limit))


def test_taking_a_head_twice_changes_nothing():
  labels = np.random.default_rng(0).integers(0, 5, 200)
  head = labels[reduce.balanced_head(labels, 37, "limit")]
  again = reduce.balanced_head(head, 37, "limit")
  np.testing.assert_array_equal(again, np.arange(37))


def test_a_class_missing_from_the_labels_is_passed_over():
  labels = np.array([4, 4, 9, 9])
  np.testing.assert_array_equal(
    reduce.balanced_head(labels, 2, "limit"), [0, 2]
  )


@pytest.mark.parametrize("limit", [0, -1, 5])
def test_a_limit_out_of_range_is_refused(limit):
  with pytest.raises(ValueError, match=f"set: limit is {limit}; 4 images"):
    reduce.balanced_head(np.array([0, 1, 0, 1]), limit, "set: limit")


def test_shrinking_by_two_averages():
  # Pillow's bilinear filter at half size is a triangle over four pixels; on a
  # constant image every average is that constant.
  images = np.full((2, 8, 8, 3), 90, np.uint8)
  images[1] = 200
  resized = reduce.resize_array(images, 4)
  assert resized.shape == (2, 4, 4, 3) and resized.dtype == np.uint8
  assert np.all(resized[0] == 90) and np.all(resized[1] == 200)


def test_an_image_keeps_its_proportions_and_loses_its_ends():
  # 4 rows, 8 columns with the column's number: the middle 4 columns remain.
  images = np.tile(np.arange(8, dtype=np.uint8), (1, 4, 1))[..., None]
  resized = reduce.resize_array(images, 4)
  np.testing.assert_array_equal(resized[0, 0, :, 0], [2, 3, 4, 5])


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels_is_resized_channel_by_channel(channels):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (2, 6, 9, channels), np.uint8)
  resized = reduce.resize_array(images, 5)
  assert resized.shape == (2, 5, 5, channels)
  last = reduce.resize_array(images[..., -1:], 5)
  np.testing.assert_array_equal(resized[..., -1:], last)


def test_images_of_the_size_wanted_are_left_alone():
  images = np.zeros((2, 5, 5, 3), np.uint8)
  assert reduce.resize_array(images, 5) is images


def test_statistics_are_exact():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (2003, 3, 2, 3), np.uint8)
  mean, std = base.channel_statistics(images)
  scaled = images / 255
  np.testing.assert_allclose(mean, scaled.mean((0, 1, 2)), rtol=1e-12)
  np.testing.assert_allclose(std, scaled.std((0, 1, 2)), rtol=1e-12)
