"""From the bytes of an image to pixels of one size, on the host.

How an encoded image is seen: cut out at random for training, by its centre for
measuring. What is cheap on the device (flip, jitter, normalisation) is done
there, by `augment`.

Source: the ImageNet recipe that all methods here share (SPEC 3.0, "Data"):
random resized crop, and in evaluation 256 pixels on the shorter side and the
centre 224.
Choice: a JPEG is decoded at a half, a quarter or an eighth of its size where
what is cut out of it is that much larger than what is wanted: several times
faster, and the frequencies left out would be averaged away by the resizing.
"""

import io
import math
import struct
from typing import NamedTuple

import numpy as np
from PIL import Image

# Everything that Pillow raises on a damaged file.
DAMAGED = (
  OSError,
  SyntaxError,
  ValueError,
  EOFError,
  struct.error,
  Image.DecompressionBombError,
)
_ATTEMPTS = 10
# What a JPEG is decoded to where only its damage is looked for.
_CHECKED_SIZE = (64, 64)


class View(NamedTuple):
  """How an image is seen.

  Attributes:
    size: pixels a side.
    crop_scale: smallest share of an image's area that a random crop takes; 0
      for no random crop, but the centre.
    crop_ratio: largest ratio of a random crop's sides, 1 or more.
    eval_crop: share of the shorter side that is seen when measuring, above 0;
      1 for all of it.
  """

  size: int
  crop_scale: float = 0.0
  crop_ratio: float = 4 / 3
  eval_crop: float = 1.0


def decode(
  content: bytes, view: View, random: np.random.Generator | None
) -> np.ndarray:
  """An image as it is seen.

  Args:
    content: of the file.
    view: how it is seen.
    random: what a crop for training is drawn from, the same numbers for every
      image; None to measure.

  Returns:
    `[size, size, 3]` uint8.

  Raises:
    One of `DAMAGED`: if it cannot be read.
  """
  with open_bytes(content) as image:
    if image.mode.startswith(("I", "F")):
      raise ValueError(f"more than 8 bits a channel (mode {image.mode})")
    if not view.crop_scale:
      return np.asarray(resize_image(image.convert("RGB"), view.size))
    if random is None:
      return np.asarray(_centre(image, view))
    box = random_box(random, image.size, view)
    width, height = image.size
    _draft(image, min(box[2] - box[0], box[3] - box[1]) / view.size)
    across, down = image.size[0] / width, image.size[1] / height
    left, top, right, bottom = box
    return np.asarray(
      image.convert("RGB").resize(
        (view.size, view.size),
        Image.Resampling.BILINEAR,
        box=(left * across, top * down, right * across, bottom * down),
      )
    )


def open_bytes(content: bytes) -> Image.Image:
  """An image whose pixels are not decoded yet.

  Raises:
    One of `DAMAGED`: if it is none.
  """
  try:
    return Image.open(io.BytesIO(content))
  except Image.UnidentifiedImageError as error:
    # Pillow's own words name an object in memory, another one every time.
    raise ValueError("of no format that Pillow knows") from error


def read_to_end(image: Image.Image) -> tuple[int, int]:
  """Decodes an image to its end, a JPEG smaller, which is faster.

  Args:
    image: just opened; its size may be another one afterwards.

  Returns:
    The width and height that it is stored with.

  Raises:
    One of `DAMAGED`: if it is damaged anywhere.
  """
  size = image.size
  image.draft("RGB", _CHECKED_SIZE)
  image.load()
  return size


def resize_image(image: Image.Image, size: int) -> Image.Image:
  """The centre square of an image, `size` pixels a side.

  Choice: it is resized by its shorter side, then the centre is cut out, as by
  torchvision's Resize and CenterCrop, with Pillow's bilinear filter, which
  averages over the source pixels when it shrinks.

  Args:
    image: of a mode that Pillow can filter, such as L or RGB.
    size: pixels, 1 or more.

  Returns:
    The same image if it has that size already.
  """
  width, height = image.size
  if (width, height) == (size, size):
    return image
  shorter = min(width, height)
  width, height = size * width // shorter, size * height // shorter
  image = image.resize((width, height), Image.Resampling.BILINEAR)
  left, top = round((width - size) / 2), round((height - size) / 2)
  return image.crop((left, top, left + size, top + size))


def random_box(
  random: np.random.Generator, size: tuple[int, int], view: View
) -> tuple[int, int, int, int]:
  """A crop of random area, ratio of sides and place.

  The area is uniform between `crop_scale` and all of the image's, the ratio
  of width to height uniform in its logarithm. Where ten draws do not fit the
  image, the largest centre of an allowed ratio is taken.

  Source: torchvision's RandomResizedCrop, which the papers' codes use.

  Args:
    random: drawn from.
    size: width and height of the image.
    view: whose `crop_scale` and `crop_ratio` these are.

  Returns:
    Left, top, right, bottom, pixels.
  """
  width, height = size
  limit = math.log(view.crop_ratio)
  for _ in range(_ATTEMPTS):
    area = width * height * random.uniform(view.crop_scale, 1.0)
    ratio = math.exp(random.uniform(-limit, limit))
    crop_width = round(math.sqrt(area * ratio))
    crop_height = round(math.sqrt(area / ratio))
    if 0 < crop_width <= width and 0 < crop_height <= height:
      left = int(random.integers(0, width - crop_width + 1))
      top = int(random.integers(0, height - crop_height + 1))
      return left, top, left + crop_width, top + crop_height
  crop_width = max(min(width, round(height * view.crop_ratio)), 1)
  crop_height = max(min(height, round(width * view.crop_ratio)), 1)
  left, top = (width - crop_width) // 2, (height - crop_height) // 2
  return left, top, left + crop_width, top + crop_height


def _centre(image: Image.Image, view: View) -> Image.Image:
  """The centre, of which `eval_crop` of the shorter side is seen."""
  shorter = round(view.size / view.eval_crop)
  _draft(image, min(image.size) / shorter)
  width, height = image.size
  least = min(width, height)
  size = (shorter * width // least, shorter * height // least)
  resized = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
  left, top = (round((edge - view.size) / 2) for edge in size)
  return resized.crop((left, top, left + view.size, top + view.size))


def _draft(image: Image.Image, shrink: float) -> None:
  """Decodes a JPEG smaller, where it is to be shrunk to a half or less."""
  if shrink >= 2:
    width, height = (math.ceil(edge / shrink) for edge in image.size)
    image.draft(None, (width, height))
