"""Fewer images, smaller images: the options of `jnas.data.load`.

Choice: the first images are those of a class-balanced order (`balanced_head`).
"""

import dataclasses

import numpy as np
from PIL import Image

from jnas.data import base, checks, views


def reduce_split(
  split: base.Split, limit: int | None, image_size: int | None, what: str
) -> base.Split:
  """The first images of a split, resized.

  Args:
    split: any split.
    limit: images to take, class-balanced; None for all.
    image_size: pixels a side; None to keep the images.
    what: the dataset and the limit, for messages: `"npz:x: test limit"`.

  Returns:
    The split; the arrays are the argument's own if nothing is to be done.

  Raises:
    ValueError: the limit is out of range.
  """
  images, labels = split.images, split.labels
  index = balanced_head(labels, limit, what)
  if len(index) < len(labels):
    images, labels = images[index], labels[index]
  if image_size is not None:
    images = resize_array(images, image_size)
  return base.Split(images, labels)


def reduce_info(
  info: base.DatasetInfo,
  *,
  limit: int | None,
  test_limit: int | None,
  image_size: int | None,
) -> base.DatasetInfo:
  """The description of a dataset with the options applied.

  Args:
    info: of the dataset as it is stored.
    limit: as for `jnas.data.load`.
    test_limit: as for `jnas.data.load`.
    image_size: as for `jnas.data.load`.

  Returns:
    The description of what `load` returns.

  Raises:
    ValueError: a limit is out of range.
  """
  checks.check_limit(limit, info.num_train, f"{info.name}: limit")
  checks.check_limit(test_limit, info.num_test, f"{info.name}: test limit")
  height, width, channels = info.image_shape
  return dataclasses.replace(
    info,
    num_train=limit or info.num_train,
    num_test=test_limit or info.num_test,
    image_shape=(image_size or height, image_size or width, channels),
  )


def balanced_head(
  labels: np.ndarray, limit: int | None, what: str
) -> np.ndarray:
  """Indices of the first images of a class-balanced order.

  The order takes the first image of every class, then the second of every
  class, and so on; classes that have run out are passed over. Of files that
  are interleaved by class it is the order of the file.

  Args:
    labels: `[N]` integers.
    limit: how many to take, 1 to N; None for all.
    what: the split and the option, for messages: `"npz:x: limit"`.

  Returns:
    `[limit]` indices, ascending.

  Raises:
    ValueError: the limit is below 1 or above N.
  """
  checks.check_limit(limit, len(labels), what)
  if limit is None:
    return np.arange(len(labels))
  # Sorted by class, an image's rank in its class is its distance to the first.
  by_class = np.argsort(labels, kind="stable")
  first = np.searchsorted(labels[by_class], labels[by_class])
  rank = np.empty(len(labels), np.int64)
  rank[by_class] = np.arange(len(labels)) - first
  return np.sort(np.argsort(rank, kind="stable")[:limit])


def resize_array(images: np.ndarray, size: int) -> np.ndarray:
  """Images as `[N, size, size, C]`; see `views.resize_image`.

  Args:
    images: `[N, H, W, C]` uint8.
    size: pixels, 1 or more.

  Returns:
    `[N, size, size, C]` uint8, the argument itself if it has that size.
  """
  if images.shape[1:3] == (size, size):
    return images
  num_images, _, _, channels = images.shape
  resized = np.empty((num_images, size, size, channels), np.uint8)
  # Channel by channel, since Pillow knows only some numbers of channels.
  for index in range(num_images):
    for channel in range(channels):
      plane = Image.fromarray(np.ascontiguousarray(images[index, ..., channel]))
      resized[index, ..., channel] = np.asarray(views.resize_image(plane, size))
  return resized
