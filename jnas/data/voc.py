"""`voc:PATH`: images and masks in the folder layout of PASCAL VOC.

`JPEGImages/NAME.jpg`, `SegmentationClass/NAME.png` and the lists of names
`ImageSets/Segmentation/train.txt` and `val.txt`, which is the test split. The
training list may be another one, such as `trainaug`; its masks are then looked
for in `SegmentationClassAug` first. A mask holds a class for each pixel, as
colours of a palette or as grey; 255 counts nowhere. The classes are VOC's 21,
or the lines of `classes.txt`.
"""

import concurrent.futures
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from jnas.data import base, checks, masked, views

CLASSES = (
  *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus"),
  *("car", "cat", "chair", "cow", "diningtable", "dog", "horse", "motorbike"),
  *("person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
# Of ImageNet, which the backbone has seen.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LISTS = pathlib.PurePath("ImageSets", "Segmentation")
_IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
_TEST_LIST = "val"

Value = TypeVar("Value")


class Files(NamedTuple):
  """The files of one split.

  Attributes:
    images: paths.
    masks: paths, likewise.
  """

  images: list[pathlib.Path]
  masks: list[pathlib.Path]

  def read(self, position: int) -> masked.Pair:
    """An image `[H, W, 3]` and its mask `[H, W]`, uint8."""
    return (
      _read(self.images[position], _pixels),
      _read(self.masks[position], _numbers),
    )

  def name(self, position: int) -> str:
    """Of an image, for messages."""
    return str(self.images[position])


class Found(NamedTuple):
  """What a folder holds.

  Attributes:
    train: the files of the training list.
    test: those of the test list.
    class_names: of each class.
  """

  train: Files
  test: Files
  class_names: tuple[str, ...]


def describe(
  argument: str,
  *,
  train_list: str,
  limit: int | None,
  test_limit: int | None,
) -> base.DatasetInfo:
  """What `load` would return, from the lists alone.

  Args:
    argument: path of the folder, such as `VOCdevkit/VOC2012`.
    train_list: name of the list of training images.
    limit: training images to take, the first; None for all.
    test_limit: test images, likewise.

  Raises:
    FileNotFoundError: a folder, a list, an image or a mask is not there.
    ValueError: a list is empty or no text, or a limit out of range.
  """
  found = _find(argument, train_list, limit, test_limit)
  return base.DatasetInfo(
    name=f"voc:{argument}",
    num_train=len(found.train.images),
    num_test=len(found.test.images),
    image_shape=(0, 0, 3),
    num_classes=len(found.class_names),
  )


def load(
  argument: str,
  *,
  train_list: str,
  limit: int | None,
  test_limit: int | None,
  view: masked.View,
) -> masked.MaskedDataset:
  """Checks every image and mask; they are read again when they are wanted.

  Args:
    argument: as for `describe`.
    train_list: as for `describe`.
    limit: as for `describe`.
    test_limit: as for `describe`.
    view: how images are seen; the colour of padding is the mean's.

  Raises:
    FileNotFoundError: as for `describe`.
    ValueError: a file is damaged, a mask is not one, has another size than
      its image or an unknown class, or a test image is too large.
  """
  found = _find(argument, train_list, limit, test_limit)
  num_classes = len(found.class_names)
  _check(found.train, num_classes, None)
  _check(found.test, num_classes, view.whole)
  view = view._replace(fill=tuple(round(255 * mean) for mean in MEAN))
  train, test = (
    masked.MaskedSplit(len(files.images), files.read, files.name, view, use)
    for files, use in ((found.train, True), (found.test, False))
  )
  return masked.MaskedDataset(
    f"voc:{argument}", train, test, found.class_names, MEAN, STD
  )


def _find(
  argument: str, train_list: str, limit: int | None, test_limit: int | None
) -> Found:
  """The files of both lists, all of them there."""
  name = f"voc:{argument}"
  checks.require_argument("voc", argument, "PATH")
  root = pathlib.Path(argument).expanduser()
  for folder in ("JPEGImages", "SegmentationClass", str(_LISTS)):
    if not (root / folder).is_dir():
      raise FileNotFoundError(
        f"{name} has no folder {folder}; wanted JPEGImages, SegmentationClass "
        f"and {_LISTS}, as in VOCdevkit/VOC2012"
      )

  def of_list(listed: str, count: int | None, option: str) -> Files:
    names = _read_list(root, listed, name)
    checks.check_limit(count, len(names), f"{name}: {option}")
    return _files(root, names[:count], listed)

  return Found(
    of_list(train_list, limit, "limit"),
    of_list(_TEST_LIST, test_limit, "test limit"),
    _class_names(root, name),
  )


def _read_list(root: pathlib.Path, listed: str, name: str) -> list[str]:
  """The names in a list."""
  path = root / _LISTS / f"{listed}.txt"
  if not path.is_file():
    there = sorted(path.stem for path in (root / _LISTS).glob("*.txt"))
    raise FileNotFoundError(
      f"{name} has no list {listed!r} in {_LISTS}; it has "
      f"{', '.join(there) or 'none'}"
    )
  names = _read_text(path, name).split()
  if not names:
    raise ValueError(f"{name}: the list {str(path)!r} is empty")
  return names


def _read_text(path: pathlib.Path, name: str) -> str:
  """A file's text, without the mark that some editors begin it with."""
  try:
    return path.read_text(encoding="utf-8-sig")
  except UnicodeDecodeError as error:
    raise ValueError(
      f"{name}: {str(path)!r} is no UTF-8 text: {error.reason} at byte "
      f"{error.start}"
    ) from error


def _files(root: pathlib.Path, names: Sequence[str], listed: str) -> Files:
  """The image and the mask of each name."""
  more = root / "SegmentationClassAug"
  folders = [root / "SegmentationClass"]
  if listed.endswith("aug") and more.is_dir():
    folders.insert(0, more)
  images = [root / "JPEGImages" / name for name in names]
  return Files(
    [_present(path, _IMAGE_ENDINGS, listed) for path in images],
    [_mask(folders, name, listed) for name in names],
  )


def _mask(
  folders: Sequence[pathlib.Path], name: str, listed: str
) -> pathlib.Path:
  for folder in folders[:-1]:
    if (folder / f"{name}.png").is_file():
      return folder / f"{name}.png"
  return _present(folders[-1] / name, (".png",), listed)


def _present(
  path: pathlib.Path, endings: Sequence[str], listed: str
) -> pathlib.Path:
  """The path with the first ending with which there is a file."""
  for ending in endings:
    found = path.with_name(path.name + ending)
    if found.is_file():
      return found
  raise FileNotFoundError(
    f"{listed}.txt names {path.name!r}, but there is no "
    f"{str(path) + endings[0]!r}"
  )


def _class_names(root: pathlib.Path, name: str) -> tuple[str, ...]:
  """The lines of classes.txt, or VOC's classes."""
  path = root / "classes.txt"
  if not path.is_file():
    return CLASSES
  lines = _read_text(path, name).splitlines()
  names = tuple(line.strip() for line in lines if line.strip())
  if not 2 <= len(names) <= masked.IGNORED or len(set(names)) < len(names):
    raise ValueError(
      f"{name}: {path.name} has {len(names)} lines, {len(set(names))} of them "
      f"different; wanted 2 to {masked.IGNORED} different names"
    )
  return names


def _check(files: Files, num_classes: int, largest: int | None) -> None:
  """Refuses the first pair, in order, that is not as it must be."""

  def check(paths: tuple[pathlib.Path, pathlib.Path]) -> None:
    _check_pair(*paths, num_classes, largest)

  with concurrent.futures.ThreadPoolExecutor() as pool:
    pairs = zip(files.images, files.masks, strict=True)
    for done in pool.map(check, pairs):
      del done


def _check_pair(
  image: pathlib.Path,
  mask: pathlib.Path,
  num_classes: int,
  largest: int | None,
) -> None:
  masked.check_pair(
    _read(image, views.read_to_end),
    _read(mask, _numbers),
    num_classes=num_classes,
    largest=largest,
    names=(str(image), str(mask)),
  )


def _read(path: pathlib.Path, use: Callable[[Image.Image], Value]) -> Value:
  """What a function gives of an image, or one line that names the image."""
  try:
    with Image.open(path) as image:
      return use(image)
  except views.DAMAGED as error:
    reason = " ".join(str(error).split()) or type(error).__name__
    raise ValueError(
      f"image {str(path)!r} is damaged or unreadable: {reason}"
    ) from error


def _pixels(image: Image.Image) -> np.ndarray:
  """`[H, W, 3]` uint8."""
  return np.asarray(image.convert("RGB"))


def _numbers(mask: Image.Image) -> np.ndarray:
  """The class of each pixel, `[H, W]` uint8."""
  if mask.mode not in ("P", "L"):
    raise ValueError(
      f"its mode is {mask.mode}, not a palette's (P) or grey (L)"
    )
  return np.asarray(mask)
