"""`tfds:NAME` with masks: sets that TFDS prepared, such as oxford_iiit_pet.

The mask is the image of one channel that is called `segmentation_mask` or
`segmentation_label`. TFDS does not name its classes: they are the numbers up
to the largest in any training mask, and 255 counts nowhere. TFDS's VOC has
boxes and no masks.
"""

import concurrent.futures
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from jnas.data import base, checks, masked, tfds_builders, views, voc

_IMAGE = "image"
_MASKS = ("segmentation_mask", "segmentation_label")

Value = TypeVar("Value")


class Examples(NamedTuple):
  """The examples of one split.

  Attributes:
    encoded: mappings by position, image and mask as the bytes of a file.
    mask_key: which entry is the mask.
    count: examples to take, the first.
    place: name of set and split, for messages.
    folder: where the set is prepared.
  """

  encoded: Any
  mask_key: str
  count: int
  place: str
  folder: str

  def read(self, position: int) -> masked.Pair:
    """An image `[H, W, 3]` and its mask `[H, W]`, uint8."""
    image = self._use(position, _IMAGE, lambda image: _decode(image, "RGB"))
    return image, self.mask(position)

  def mask(self, position: int) -> np.ndarray:
    """A mask alone, `[H, W]` uint8."""
    return self._use(position, self.mask_key, lambda mask: _decode(mask, "L"))

  def size(self, position: int) -> tuple[int, int]:
    """Width and height of an image, which is read to its end."""
    return self._use(position, _IMAGE, views.read_to_end)

  def name(self, position: int) -> str:
    """Of an image, for messages."""
    return f"{self.place} example {position}"

  def _use(
    self, position: int, key: str, function: Callable[[Image.Image], Value]
  ) -> Value:
    """What a function gives of an image, or one line that names the image."""
    try:
      with views.open_bytes(self.encoded[position][key]) as image:
        return function(image)
    except views.DAMAGED as error:
      raise ValueError(
        f"{self.name(position)}: its {key} is damaged or unreadable: {error}"
      ) from error


def _decode(image: Image.Image, mode: str) -> np.ndarray:
  return np.asarray(image.convert(mode))


def describe(
  argument: str, *, limit: int | None, test_limit: int | None
) -> base.DatasetInfo:
  """What `load` would return; reads the training masks, to count the classes.

  Args:
    argument: its name in TFDS.
    limit: training images to take, the first; None for all.
    test_limit: test images, likewise.

  Raises:
    FileNotFoundError: the set is not prepared.
    ValueError: TFDS is not installed, does not know the name, the set has no
      masks, or a limit is out of range.
  """
  train, test = _open(argument, limit, test_limit)
  return base.DatasetInfo(
    name=f"tfds:{argument}",
    num_train=train.count,
    num_test=test.count,
    image_shape=(0, 0, 3),
    num_classes=_count_classes(argument, train.folder),
  )


def load(
  argument: str,
  *,
  limit: int | None,
  test_limit: int | None,
  view: masked.View,
) -> masked.MaskedDataset:
  """Checks every image and mask; they are read again when they are wanted.

  Args:
    argument: as for `describe`.
    limit: as for `describe`.
    test_limit: as for `describe`.
    view: how images are seen; the colour of padding is the mean's.

  Raises:
    FileNotFoundError: as for `describe`.
    ValueError: as for `describe`; an image or a mask is damaged, a mask has
      another size than its image or an unknown class, or a test image is too
      large.
  """
  train, test = _open(argument, limit, test_limit)
  num_classes = _count_classes(argument, train.folder)
  _check(train, num_classes, None)
  _check(test, num_classes, view.whole)
  view = view._replace(fill=tuple(round(255 * mean) for mean in voc.MEAN))
  first, second = (
    masked.MaskedSplit(some.count, some.read, some.name, view, use)
    for some, use in ((train, True), (test, False))
  )
  names = tuple(map(str, range(num_classes)))
  return masked.MaskedDataset(
    f"tfds:{argument}", first, second, names, voc.MEAN, voc.STD
  )


def _open(
  argument: str, limit: int | None, test_limit: int | None
) -> tuple[Examples, Examples]:
  """The training and the test examples."""
  checks.require_argument("tfds", argument, "NAME")
  name = f"tfds:{argument}"
  builder = tfds_builders.find(argument, name)
  features = builder.info.features
  kinds = dict(features.items()) if hasattr(features, "items") else {}
  image = tfds_builders.import_tfds(name).features.Image
  found = [key for key in _MASKS if isinstance(kinds.get(key), image)]
  if not found or not isinstance(kinds.get(_IMAGE), image):
    raise ValueError(
      f"{name} has the features {', '.join(sorted(kinds)) or 'none'}; wanted "
      f"{_IMAGE} and {' or '.join(_MASKS)}"
    )
  splits = tfds_builders.splits(builder, name)

  def of_split(split: str, count: int | None, option: str) -> Examples:
    stored = splits[split]
    encoded = tfds_builders.read(builder, name, stored, _IMAGE, found[0])
    checks.check_limit(count, len(encoded), f"{name}: {option}")
    place = f"{name}: {stored}"
    return Examples(
      encoded,
      found[0],
      count or len(encoded),
      place,
      str(builder.data_path),
    )

  return (
    of_split("train", limit, "limit"),
    of_split("test", test_limit, "test limit"),
  )


@functools.cache
def _count_classes(argument: str, folder: str) -> int:
  """One more than the largest class of any training mask, limit or none.

  Args:
    argument: its name in TFDS.
    folder: where it is prepared, by which the number is kept, too.
  """
  del folder
  train, _ = _open(argument, None, None)

  def largest(position: int) -> int:
    mask = train.mask(position)
    return int(mask[mask != masked.IGNORED].max(initial=0))

  with concurrent.futures.ThreadPoolExecutor() as pool:
    number = 1 + max(pool.map(largest, range(train.count)))
  if number < 2:
    raise ValueError(f"tfds:{argument}: found {number} class; wanted 2 or more")
  return number


def _check(examples: Examples, num_classes: int, largest: int | None) -> None:
  """Refuses the first pair, in order, that is not as it must be."""

  def check(position: int) -> None:
    name = examples.name(position)
    masked.check_pair(
      examples.size(position),
      examples.mask(position),
      num_classes=num_classes,
      largest=largest,
      names=(name, name),
    )

  with concurrent.futures.ThreadPoolExecutor() as pool:
    for done in pool.map(check, range(examples.count)):
      del done
