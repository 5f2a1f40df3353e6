"""`fashion_mnist_mini`: the dataset inside the package.

4,000 training and 1,000 test images of Fashion-MNIST (arXiv:1708.07747), 400
and 100 a class, grey. Stored 28x28 and padded with black to 32x32x1, so that
networks for CIFAR take them. Origin, licence and checksum are in
`fashion_mnist_mini.txt` beside the archive.
"""

import dataclasses
import importlib.resources

import numpy as np

from jnas.data import base, checks, npz, reduce

NAME = "fashion_mnist_mini"
# 28 + 2 + 2 = 32 pixels a side.
_BORDER = 2


def load(
  argument: str,
  *,
  limit: int | None = None,
  test_limit: int | None = None,
  image_size: int | None = None,
) -> base.Dataset:
  """Loads the dataset.

  Args:
    argument: must be empty.
    limit: training images to take, class-balanced; None for all.
    test_limit: test images, likewise.
    image_size: pixels a side to resize the padded images to; None for 32.

  Returns:
    The dataset, with the statistics of the training images taken.

  Raises:
    ValueError: a limit is out of range.
  """
  checks.refuse_argument(NAME, argument)
  with importlib.resources.as_file(_archive()) as path:
    stored = npz.load(str(path))
  assert isinstance(stored.train, base.Split)
  assert isinstance(stored.test, base.Split)
  train = reduce.reduce_split(
    _pad(stored.train), limit, image_size, f"{NAME}: limit"
  )
  test = reduce.reduce_split(
    _pad(stored.test), test_limit, image_size, f"{NAME}: test limit"
  )
  mean, std = base.channel_statistics(train.images)
  return dataclasses.replace(
    stored, name=NAME, train=train, test=test, mean=mean, std=std
  )


def describe(
  argument: str,
  *,
  limit: int | None = None,
  test_limit: int | None = None,
  image_size: int | None = None,
) -> base.DatasetInfo:
  """What `load` would return, from the archive's headers alone.

  Args:
    argument: must be empty.
    limit: as for `load`.
    test_limit: as for `load`.
    image_size: as for `load`.

  Returns:
    Sizes and shapes.

  Raises:
    ValueError: a limit is out of range.
  """
  checks.refuse_argument(NAME, argument)
  with importlib.resources.as_file(_archive()) as path:
    stored = npz.describe(str(path))
  padded = dataclasses.replace(stored, name=NAME, image_shape=(32, 32, 1))
  return reduce.reduce_info(
    padded, limit=limit, test_limit=test_limit, image_size=image_size
  )


SOURCE = base.Source(load, describe)


def _archive():
  return importlib.resources.files("jnas.data") / f"{NAME}.npz"


def _pad(split: base.Split) -> base.Split:
  """28x28 to 32x32, with black."""
  border = (_BORDER, _BORDER)
  images = np.pad(split.images, ((0, 0), border, border, (0, 0)))
  return base.Split(images, split.labels)
