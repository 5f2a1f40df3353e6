"""`folder:PATH`: images in one folder for each class.

Either `PATH/train/<class>/*` with `PATH/test/<class>/*` or
`PATH/val/<class>/*`, or class folders alone, of which a fifth becomes the
test split. With both `test` and `val`, `val` is a fixed validation split.
Folders inside a class folder are searched too. Hidden files and files that
are not images by their extension are passed over. Order is the sorted order
of paths, so the same folder gives the same dataset everywhere.

Choice: as torchvision's ImageFolder, the orientation noted by a camera is not
applied and transparency is dropped.
"""

import concurrent.futures
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from jnas.data import base, checks, class_folders, reduce, views

_GREY_MODES = ("1", "L", "LA")


class Listing(NamedTuple):
  """The files of a dataset, limited, before any is decoded.

  Attributes:
    splits: by name; `train` and `test`, and `valid` if there is one.
    class_names: the names of the class folders, sorted.
    image_shape: height, width and channels that the images will have.
    note: whether the test split was cut from the training images.
  """

  splits: dict[str, class_folders.Files]
  class_names: tuple[str, ...]
  image_shape: tuple[int, int, int]
  note: str


def load(
  argument: str,
  *,
  limit: int | None = None,
  test_limit: int | None = None,
  image_size: int | None = None,
) -> base.Dataset:
  """Decodes the images of a folder into memory.

  Args:
    argument: path of the folder.
    limit: training images to take, class-balanced; None for all.
    test_limit: test images, likewise.
    image_size: pixels a side to resize to; None if all have the same size.

  Returns:
    The dataset, RGB unless every image is grey, with the statistics of the
    training images taken.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: the folder is not laid out as it must be, an image is
      unreadable, or the sizes differ and no image size is given.
  """
  listing = _list(argument, limit, test_limit, image_size)
  mode = "L" if listing.image_shape[2] == 1 else "RGB"
  splits = {
    split: base.Split(_decode(files.paths, mode, image_size), files.labels)
    for split, files in listing.splits.items()
  }
  mean, std = base.channel_statistics(splits["train"].images)
  return base.Dataset(
    name=f"folder:{argument}",
    train=splits["train"],
    test=splits["test"],
    class_names=listing.class_names,
    mean=mean,
    std=std,
    valid=splits.get("valid"),
    note=listing.note,
  )


def describe(
  argument: str,
  *,
  limit: int | None = None,
  test_limit: int | None = None,
  image_size: int | None = None,
) -> base.DatasetInfo:
  """What `load` would return, from the images' headers alone.

  Args:
    argument: path of the folder.
    limit: as for `load`.
    test_limit: as for `load`.
    image_size: as for `load`.

  Returns:
    Sizes and shapes.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: as for `load`, but for damage behind an image's header.
  """
  listing = _list(argument, limit, test_limit, image_size)
  counts = {split: len(files.paths) for split, files in listing.splits.items()}
  return base.DatasetInfo(
    name=f"folder:{argument}",
    num_train=counts["train"],
    num_test=counts["test"],
    image_shape=listing.image_shape,
    num_classes=len(listing.class_names),
    num_valid=counts.get("valid", 0),
    note=listing.note,
  )


def open_stored(argument: str) -> base.Opened:
  """The images of a folder, each read when it is wanted.

  Args:
    argument: path of the folder.

  Returns:
    The files, none of them opened; the statistics are not known.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: the folder is not laid out as it must be.
  """
  found = _find(argument)
  splits = {
    split: base.Stored(
      files.labels,
      lambda at, paths=files.paths: paths[at].read_bytes(),
      lambda at, paths=files.paths: str(paths[at]),
    )
    for split, files in found.splits.items()
  }
  return base.Opened(splits, found.class_names, found.note)


def describe_stored(
  argument: str,
  *,
  limit: int | None,
  test_limit: int | None,
  image_size: int | None,
) -> base.DatasetInfo:
  """Sizes by the names of the files alone; see `open_stored` for errors."""
  found = _find(argument)
  counts = {split: len(files.paths) for split, files in found.splits.items()}
  stored = base.DatasetInfo(
    name=f"folder:{argument}",
    num_train=counts["train"],
    num_test=counts["test"],
    image_shape=(0, 0, 3),
    num_classes=len(found.class_names),
    num_valid=counts.get("valid", 0),
    note=found.note,
  )
  return reduce.reduce_info(
    stored, limit=limit, test_limit=test_limit, image_size=image_size
  )


SOURCE = base.Source(load, describe, base.Streams(open_stored, describe_stored))


def _find(argument: str) -> class_folders.Found:
  """Finds the files by their names."""
  checks.require_argument("folder", argument, "PATH")
  root = pathlib.Path(argument).expanduser()
  if not root.is_dir():
    what = "is a file, not a folder" if root.exists() else "does not exist"
    raise FileNotFoundError(f"image folder {str(root)!r} {what}")
  return class_folders.find(root, f"folder:{argument}")


def _list(
  argument: str,
  limit: int | None,
  test_limit: int | None,
  image_size: int | None,
) -> Listing:
  """Finds the files, takes those wanted, and reads their headers."""
  name = f"folder:{argument}"
  found = _find(argument)
  splits = dict(found.splits)
  for split, count in (("train", limit), ("test", test_limit)):
    if count is not None:
      option = "limit" if split == "train" else "test limit"
      index = reduce.balanced_head(
        splits[split].labels, count, f"{name}: {option}"
      )
      splits[split] = splits[split].take(index)
  paths = [path for files in splits.values() for path in files.paths]
  shape = _image_shape(paths, name, image_size)
  return Listing(splits, found.class_names, shape, found.note)


def _image_shape(
  paths: Sequence[pathlib.Path], name: str, image_size: int | None
) -> tuple[int, int, int]:
  """The shape that all images will have, from their headers."""
  first_size, grey = None, True
  for path in paths:
    try:
      with Image.open(path) as image:
        size, mode = image.size, image.mode
    except views.DAMAGED as error:
      raise _unreadable(path, error) from error
    if mode.startswith(("I", "F")):
      raise ValueError(
        f"image {str(path)!r} has more than 8 bits a channel (mode {mode}); "
        "convert it to 8 bits"
      )
    grey = grey and mode in _GREY_MODES
    first_size = first_size or size
    if image_size is None and size != first_size:
      raise ValueError(
        f"{name}: images have different sizes: {str(paths[0])!r} is "
        f"{first_size[0]}x{first_size[1]}, {str(path)!r} {size[0]}x{size[1]}"
        "; set data.image_size to resize them"
      )
  assert first_size is not None  # Every class has an image by now.
  width, height = (image_size, image_size) if image_size else first_size
  return height, width, 1 if grey else 3


def _decode(
  paths: Sequence[pathlib.Path], mode: str, image_size: int | None
) -> np.ndarray:
  """The images as `[N, H, W, C]` uint8, decoded by a few threads."""
  with concurrent.futures.ThreadPoolExecutor() as pool:
    decoded = pool.map(lambda path: _decode_one(path, mode, image_size), paths)
    first = next(decoded)
    images = np.empty((len(paths), *first.shape), np.uint8)
    images[0] = first
    for index, image in enumerate(decoded, start=1):
      images[index] = image
  return images


def _decode_one(
  path: pathlib.Path, mode: str, image_size: int | None
) -> np.ndarray:
  """One image, `[H, W, C]`."""
  try:
    with Image.open(path) as image:
      converted = image.convert(mode)
  except views.DAMAGED as error:
    raise _unreadable(path, error) from error
  if image_size is not None:
    converted = views.resize_image(converted, image_size)
  image = np.asarray(converted)
  return image if image.ndim == 3 else image[..., None]


def _unreadable(path: pathlib.Path, error: BaseException) -> ValueError:
  reason = " ".join(str(error).split()) or type(error).__name__
  return ValueError(
    f"image {str(path)!r} is damaged or unreadable: {reason}; remove it, or "
    "set data.stream to 'on', which skips up to data.max_unreadable of them"
  )
