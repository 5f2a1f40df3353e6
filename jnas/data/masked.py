"""Images whose every pixel has a class, read and cut out one by one.

An image and its mask are scaled, cut and mirrored together, on the host, by
numbers that are functions of the seed, the epoch and the place in it, as in
`streamed`. Images may have any sizes; what comes out has one.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

# The class of pixels that count nowhere, in VOC's masks and in all others.
IGNORED = 255

# An image, `[H, W, C]` or `[H, W]` uint8, and its mask, `[H, W]` uint8.
Pair = tuple[np.ndarray, np.ndarray]


class View(NamedTuple):
  """How image and mask are seen.

  Attributes:
    crop: pixels a side of what is cut out for training.
    whole: pixels a side of what a whole image is padded to when measuring.
    scale_min: the smallest factor of size in training.
    scale_max: the largest.
    flip: whether every other image is mirrored in training.
    fill: `[C]` uint8, the colour of padding.
  """

  crop: int
  whole: int
  scale_min: float
  scale_max: float
  flip: bool
  fill: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedSplit:
  """Images and masks, seen for training or for measuring.

  Attributes:
    count: N.
    read: image and mask as they are stored, by position.
    name: of an image, for messages, likewise.
    view: how they are seen.
    training: whether they are scaled and cut at random.
  """

  count: int
  read: Callable[[int], Pair]
  name: Callable[[int], str]
  view: View
  training: bool

  def __len__(self) -> int:
    return self.count

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """Height, width and channels of every image that comes out."""
    side = self.view.crop if self.training else self.view.whole
    return side, side, len(self.view.fill)

  def empty(self, number: int) -> Pair:
    """Room for so many images and masks."""
    shape = (number, *self.image_shape)
    return np.empty(shape, np.uint8), np.empty(shape[:3], np.uint8)

  def example(self, position: int, draw: Sequence[int] | None) -> Pair:
    """One image and its mask.

    Args:
      position: 0 to N-1.
      draw: what scale, place and flip are drawn from in training; None for
        any of them.

    Returns:
      `[S, S, C]` and `[S, S]` uint8.

    Raises:
      ValueError: if either cannot be read.
    """
    image, mask = self.read(position)
    image = image.reshape(*image.shape[:2], -1)
    if not self.training:
      return pad(image, mask, self.view.whole, self.view.fill)
    random = np.random.Generator(
      np.random.Philox(np.random.SeedSequence(list(draw or (0,))))
    )
    return augment(random, image, mask, self.view)


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedDataset:
  """Images with masks, split for training and testing.

  Attributes:
    name: where they come from, as a config gives it.
    train: the training split.
    test: the test split, which measures; nothing may be fitted to it.
    class_names: of each class; 0 is the first, mostly the background.
    mean: `[C]` mean of each channel, pixels scaled to [0, 1].
    std: `[C]` standard deviation of each channel, likewise.
  """

  name: str
  train: MaskedSplit
  test: MaskedSplit
  class_names: tuple[str, ...]
  mean: tuple[float, ...]
  std: tuple[float, ...]


def augment(
  random: np.random.Generator, image: np.ndarray, mask: np.ndarray, view: View
) -> Pair:
  """Scales, cuts out and mirrors an image and its mask alike.

  Source: DeepLabV3 (arXiv:1706.05587), Sec. 4.1: scales 0.5 to 2, flips.
  Choice: the scale is uniform; what is smaller than the window is padded
  below and to the right, its padding ignored.

  Args:
    random: drawn from, the same numbers for every image.
    image: `[H, W, C]` uint8.
    mask: `[H, W]` uint8.
    view: how it is seen.

  Returns:
    `[crop, crop, C]` and `[crop, crop]` uint8.
  """
  scale = random.uniform(view.scale_min, view.scale_max)
  place = random.uniform(size=2)
  mirrored = random.uniform() < 0.5
  height, width = (max(round(scale * side), 1) for side in mask.shape)
  image = resize(image, (height, width), Image.Resampling.BILINEAR)
  # A mask has no classes between two classes.
  mask = resize(mask[..., None], (height, width), Image.Resampling.NEAREST)
  top, left = (
    int(share * (max(side - view.crop, 0) + 1))
    for share, side in zip(place, (height, width), strict=True)
  )
  window = slice(top, top + view.crop), slice(left, left + view.crop)
  image, mask = pad(image[window], mask[window][..., 0], view.crop, view.fill)
  if view.flip and mirrored:
    image, mask = image[:, ::-1], mask[:, ::-1]
  return image, mask


def resize(
  image: np.ndarray, size: tuple[int, int], resampling: Image.Resampling
) -> np.ndarray:
  """`[H, W, C]` uint8 at another height and width."""
  if image.shape[:2] == size:
    return image
  plain = image[..., 0] if image.shape[2] == 1 else image
  height, width = size
  resized = Image.fromarray(plain).resize((width, height), resampling)
  return np.asarray(resized).reshape(height, width, image.shape[2])


def pad(
  image: np.ndarray, mask: np.ndarray, side: int, fill: Sequence[int]
) -> Pair:
  """An image and its mask with padding below and to the right.

  Args:
    image: `[H, W, C]` uint8, no larger than the square.
    mask: `[H, W]` uint8.
    side: pixels a side of the square.
    fill: `[C]`, the colour of the padding; its class is `IGNORED`.

  Returns:
    `[side, side, C]` and `[side, side]` uint8.
  """
  height, width = mask.shape
  square = np.empty((side, side, image.shape[2]), np.uint8)
  square[:] = np.asarray(fill, np.uint8)
  classes = np.full((side, side), IGNORED, np.uint8)
  square[:height, :width] = image
  classes[:height, :width] = mask
  return square, classes


def check_pair(
  size: tuple[int, int],
  mask: np.ndarray,
  *,
  num_classes: int,
  largest: int | None,
  names: tuple[str, str],
) -> None:
  """Refuses a mask that does not fit its image, or an image too large.

  Args:
    size: width and height of the image.
    mask: `[H, W]` uint8.
    num_classes: as for `check_mask`.
    largest: side that a whole image may have; None for any.
    names: of image and mask, for messages.

  Raises:
    ValueError: naming what was found and what is allowed.
  """
  width, height = size
  image, what = names
  if mask.shape != (height, width):
    raise ValueError(
      f"mask {what!r} is {mask.shape[1]}x{mask.shape[0]}, its image "
      f"{width}x{height}; they must have the same size"
    )
  if largest is not None and max(size) > largest:
    raise ValueError(
      f"segment.eval_size is {largest}; it must be {max(size)} or more for "
      f"the test image {image!r} of {width}x{height}"
    )
  check_mask(mask, num_classes, f"mask {what!r}")


def check_mask(mask: np.ndarray, num_classes: int, what: str) -> None:
  """Refuses classes that are not there.

  Args:
    mask: of any shape, uint8.
    num_classes: classes are 0 to this less one, or `IGNORED`.
    what: the mask's name, for messages.

  Raises:
    ValueError: naming the class found and those allowed.
  """
  known = np.zeros(256, bool)
  known[:num_classes] = known[IGNORED] = True
  wrong = ~known[mask]
  if wrong.any():
    raise ValueError(
      f"{what} holds the class {int(mask[wrong].min())}; with {num_classes} "
      f"classes it must be 0 to {num_classes - 1}, or {IGNORED} for pixels "
      "that count nowhere"
    )
