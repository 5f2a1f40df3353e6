"""What a dataset is: labelled images in named splits, in memory or not.

Every source of images, ours or a user's, ends in a `Dataset`. `DatasetInfo`
says the same without the arrays, so that a run can be planned before anything
is read or downloaded. Nothing here draws random numbers.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jnas.data import streamed


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
  """Labelled images in memory.

  Attributes:
    images: `[N, H, W, C]` uint8.
    labels: `[N]` int32, 0 to the number of classes less one.
  """

  images: np.ndarray
  labels: np.ndarray

  def __len__(self) -> int:
    return len(self.labels)

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """Height, width and channels of every image."""
    height, width, channels = self.images.shape[1:]
    return height, width, channels

  def take(self, index: np.ndarray) -> "Split":
    """The examples at an index, `[M]`, in its order."""
    return Split(self.images[index], self.labels[index])

  def head(self, count: int) -> np.ndarray:
    """The first images, `[min(count, N), H, W, C]` uint8."""
    return self.images[:count]


AnySplit = Split | streamed.StreamedSplit


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
  """Images of known classes, split for training and testing.

  The test split measures; nothing may be fitted to it. Search divides the
  training split further (`loader.bilevel_split`), unless `valid` is given.

  Attributes:
    name: where the images come from, as a config gives it.
    train: the training split.
    test: the test split.
    class_names: the name of each class; label 0 is the first.
    mean: `[C]` mean of each channel, pixels scaled to [0, 1]; of the training
      split.
    std: `[C]` standard deviation of each channel, likewise.
    valid: a validation split fixed by the source, if it has one.
    note: what a reader of results must know, such as a test split that was
      cut from the training images; empty if nothing.
  """

  name: str
  train: AnySplit
  test: AnySplit
  class_names: tuple[str, ...]
  mean: tuple[float, ...]
  std: tuple[float, ...]
  valid: AnySplit | None = None
  note: str = ""

  @property
  def num_classes(self) -> int:
    """Number of classes."""
    return len(self.class_names)

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """Height, width and channels of every image."""
    return self.train.image_shape

  @property
  def info(self) -> "DatasetInfo":
    """The same without the arrays."""
    return DatasetInfo(
      name=self.name,
      num_train=len(self.train),
      num_test=len(self.test),
      image_shape=self.image_shape,
      num_classes=self.num_classes,
      num_valid=len(self.valid) if self.valid else 0,
      note=self.note,
      streamed=isinstance(self.train, streamed.StreamedSplit),
    )


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
  """What planning needs to know of a dataset.

  Attributes:
    name: as in `Dataset`.
    num_train: training images.
    num_test: test images.
    image_shape: height, width, channels.
    num_classes: number of classes.
    num_valid: images of the fixed validation split, 0 without one.
    note: as in `Dataset`.
    streamed: whether the images stay where they are stored.
  """

  name: str
  num_train: int
  num_test: int
  image_shape: tuple[int, int, int]
  num_classes: int
  num_valid: int = 0
  note: str = ""
  streamed: bool = False


class Stored(NamedTuple):
  """A split as it is stored.

  Attributes:
    labels: `[N]` int32.
    read: the bytes of an image's file, by its position, 0 to N-1.
    name: of an image, for messages, likewise.
  """

  labels: np.ndarray
  read: Callable[[int], bytes]
  name: Callable[[int], str]


class Opened(NamedTuple):
  """A dataset as it is stored, no image read.

  Attributes:
    splits: by name; `train` and `test`, and `valid` if there is one.
    class_names: as in `Dataset`.
    note: as in `Dataset`.
    statistics: mean and standard deviation as in `Dataset`; None if they are
      not known.
  """

  splits: dict[str, Stored]
  class_names: tuple[str, ...]
  note: str = ""
  statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None


class Streams(NamedTuple):
  """How a source is read image by image.

  Attributes:
    open: `(argument) -> Opened`.
    describe: `(argument, *, limit, test_limit, image_size) -> DatasetInfo`,
      without reading an image; of three channels.
  """

  open: Callable[[str], Opened]
  describe: Callable[..., DatasetInfo]


class Source(NamedTuple):
  """A kind of dataset: what one entry of `DATASETS` owes.

  Both functions are called as `fn(argument, *, limit, test_limit,
  image_size)`: the text after the first colon of `"npz:PATH"`, and the options
  of `jnas.data.load`, which the source applies with `jnas.data.reduce`.

  Attributes:
    load: returns a `Dataset`.
    describe: returns the `DatasetInfo` of what `load` would return for the
      same arguments, without reading the images and without any download.
    streams: how the images are read one by one; None where that cannot be.
  """

  load: Callable[..., Dataset]
  describe: Callable[..., DatasetInfo]
  streams: Streams | None = None


def channel_statistics(
  images: np.ndarray,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Mean and standard deviation of each channel, pixels scaled to [0, 1].

  Exact up to the last rounding: computed from the counts of the 256 values.
  A channel of one value everywhere has nothing to scale; its standard
  deviation is given as 1.

  Args:
    images: `[N, H, W, C]` uint8, of a training split.

  Returns:
    `[C]` means, `[C]` standard deviations (of the population).
  """
  values = np.arange(256) / 255
  means, deviations = [], []
  for channel in range(images.shape[3]):
    counts = np.zeros(256, np.int64)
    # A thousand images at a time: bincount copies them to 64 bits.
    for start in range(0, len(images), 1000):
      pixels = images[start : start + 1000, ..., channel]
      counts += np.bincount(pixels.ravel(), minlength=256)
    share = counts / counts.sum()
    mean = float(share @ values)
    variance = float(share @ (values - mean) ** 2)
    constant = np.count_nonzero(counts) == 1
    means.append(mean)
    deviations.append(1.0 if constant else variance**0.5)
  return tuple(means), tuple(deviations)
