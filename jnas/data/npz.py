"""`npz:PATH`: a dataset in one NumPy archive.

Keys: `train_images`, `train_labels`, `test_images`, `test_labels`, and
optionally `valid_images` with `valid_labels`, and `class_names`. Images are
uint8, `[N, height, width, channels]` or `[N, height, width]` for grey; labels
are whole numbers from 0. Other keys are left alone. Nothing is unpickled.
"""

import contextlib
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jnas.data import base, checks, reduce

_REQUIRED = ("train_images", "train_labels", "test_images", "test_labels")
_OPTIONAL = ("valid_images", "valid_labels", "class_names")


class Header(NamedTuple):
  """What the archive says of an array before the array.

  Attributes:
    shape: of the array.
    dtype: of its elements.
  """

  shape: tuple[int, ...]
  dtype: np.dtype


def load(
  argument: str,
  *,
  limit: int | None = None,
  test_limit: int | None = None,
  image_size: int | None = None,
) -> base.Dataset:
  """Loads a dataset from an archive.

  Args:
    argument: path of the file.
    limit: training images to take, class-balanced; None for all.
    test_limit: test images, likewise.
    image_size: pixels a side to resize to; None to keep.

  Returns:
    The dataset, with the statistics of the training images taken.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is damaged or does not hold what it must.
  """
  checks.require_argument("npz", argument, "PATH")
  name = f"npz:{argument}"
  with open_archive(argument) as archive:
    headers = _image_headers(archive, name)
    class_names = _class_names(archive, headers, name)
    limits = {"train": limit, "test": test_limit, "valid": None}
    splits = {
      split: _read_split(
        archive, name, split, limits[split], image_size, len(class_names)
      )
      for split in _splits(headers)
    }
  mean, std = base.channel_statistics(splits["train"].images)
  return base.Dataset(
    name=name,
    train=splits["train"],
    test=splits["test"],
    class_names=class_names,
    mean=mean,
    std=std,
    valid=splits.get("valid"),
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
    argument: path of the file.
    limit: as for `load`.
    test_limit: as for `load`.
    image_size: as for `load`.

  Returns:
    Sizes and shapes. Only where `class_names` is missing are the training
    labels read, to count the classes.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is damaged or its headers are not as they must be.
  """
  checks.require_argument("npz", argument, "PATH")
  name = f"npz:{argument}"
  with open_archive(argument) as archive:
    headers = _image_headers(archive, name)
    num_classes = len(_class_names(archive, headers, name))
  counts = {
    split: headers[f"{split}_labels"].shape[0] for split in _splits(headers)
  }
  height, width, channels = (*headers["train_images"].shape[1:], 1)[:3]
  stored = base.DatasetInfo(
    name=name,
    num_train=counts["train"],
    num_test=counts["test"],
    image_shape=(height, width, channels),
    num_classes=num_classes,
    num_valid=counts.get("valid", 0),
  )
  return reduce.reduce_info(
    stored, limit=limit, test_limit=test_limit, image_size=image_size
  )


SOURCE = base.Source(load, describe)


@contextlib.contextmanager
def open_archive(path: str) -> Iterator[zipfile.ZipFile]:
  """Opens the file, and turns every kind of damage into one line.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is damaged, found while it is open too.
  """
  path = os.path.expanduser(path)
  if not os.path.isfile(path):
    what = (
      "is a folder, not a file" if os.path.isdir(path) else "does not exist"
    )
    raise FileNotFoundError(f"npz file {path!r} {what}")
  try:
    with zipfile.ZipFile(path) as archive:
      yield archive
  except (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
  ) as error:
    raise ValueError(
      f"npz file {path!r} is damaged or not an npz archive: {error}"
    ) from error


def _image_headers(archive: zipfile.ZipFile, name: str) -> dict[str, Header]:
  """The header of every array we know; checks all that headers can tell."""
  headers = read_headers(archive, name, _REQUIRED, _OPTIONAL)
  shapes = {
    split: checks.check_images(
      f"{name}: {split}_images", *headers[f"{split}_images"]
    )
    for split in _splits(headers)
  }
  for split, shape in shapes.items():
    _check_label_header(headers, name, split)
    if shape != shapes["train"]:
      raise ValueError(
        f"{name}: images of {split} are {shape} (height, width, channels), "
        f"those of train {shapes['train']}; they must be the same"
      )
  return headers


def read_headers(
  archive: zipfile.ZipFile,
  name: str,
  required: Sequence[str],
  optional: Sequence[str],
) -> dict[str, Header]:
  """The headers of the arrays wanted, and that they are stored whole.

  Args:
    archive: from `open_archive`.
    name: of the dataset, for messages.
    required: keys that must be there.
    optional: keys that may be; `valid_images` and `valid_labels` together.

  Raises:
    ValueError: an array is missing or damaged.
  """
  members = {info.filename: info for info in archive.infolist()}
  found = [key.removesuffix(".npy") for key in members if key.endswith(".npy")]
  pair = [key for key in ("valid_images", "valid_labels") if key in optional]
  wanted = list(required)
  if any(key in found for key in pair):
    wanted += pair
  missing = [key for key in wanted if key not in found]
  if missing:
    raise ValueError(
      f"{name} lacks {', '.join(missing)}; it holds "
      f"{', '.join(sorted(found)) or 'no arrays'}; wanted "
      f"{', '.join(required)}, optionally {', '.join(optional)}"
    )
  headers = {}
  for key in (*wanted, *(["class_names"] if "class_names" in found else [])):
    with archive.open(f"{key}.npy") as file:
      header = _read_header(file, f"{name}: {key}")
      stored = members[f"{key}.npy"].file_size - file.tell()
    size = math.prod(header.shape) * header.dtype.itemsize
    if stored != size:
      raise ValueError(
        f"{name}: {key} is damaged: {stored} bytes are stored, but "
        f"{header.shape} of {header.dtype} takes {size}"
      )
    headers[key] = header
  return headers


def _read_header(file, what: str) -> Header:
  """Shape and type of one array; `file` is left where the data begins."""
  try:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
      shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
      shape, _, dtype = np.lib.format.read_array_header_2_0(file)
  except (ValueError, SyntaxError, tokenize.TokenError) as error:
    raise ValueError(f"{what} is damaged: {error}") from error
  if dtype.hasobject:
    raise ValueError(
      f"{what} holds pickled Python objects, which are never loaded; save a "
      "plain array"
    )
  return Header(shape, dtype)


def _splits(headers: dict[str, Header]) -> tuple[str, ...]:
  """The splits that the archive has, train first."""
  splits = ("train", "test", "valid")
  return tuple(split for split in splits if f"{split}_images" in headers)


def _check_label_header(
  headers: dict[str, Header], name: str, split: str
) -> None:
  """Raises ValueError unless the labels' header fits the images'."""
  what = f"{name}: {split}_labels"
  shape, dtype = headers[f"{split}_labels"]
  if not np.issubdtype(dtype, np.integer):
    raise ValueError(f"{what} are {dtype}; wanted whole numbers")
  if len(shape) != 1:
    raise ValueError(f"{what} have the shape {shape}; wanted [N]")
  num_images = headers[f"{split}_images"].shape[0]
  if shape[0] != num_images:
    raise ValueError(f"{what}: {shape[0]} labels for {num_images} images")


def _class_names(
  archive: zipfile.ZipFile, headers: dict[str, Header], name: str
) -> tuple[str, ...]:
  """The names stored, or the numbers 0 to K-1 if none are."""
  if "class_names" in headers:
    return read_class_names(archive, headers, name)
  labels = read_array(archive, name, "train_labels")
  present = np.unique(labels)
  if present[0] != 0 or present[-1] != len(present) - 1:
    raise ValueError(
      f"{name}: train_labels hold {len(present)} different numbers from "
      f"{present[0]} to {present[-1]}; without class_names they must be 0 to "
      "the number of classes less one, each present"
    )
  return tuple(str(label) for label in present)


def read_class_names(
  archive: zipfile.ZipFile, headers: dict[str, Header], name: str
) -> tuple[str, ...]:
  """The names stored in `class_names`.

  Raises:
    ValueError: they are not one string for each class.
  """
  shape, dtype = headers["class_names"]
  if len(shape) != 1 or dtype.kind not in "US":
    raise ValueError(
      f"{name}: class_names are {dtype} of shape {shape}; wanted one "
      "string for each class"
    )
  names = read_array(archive, name, "class_names")
  if dtype.kind == "S":
    names = np.char.decode(names, "utf-8", "replace")
  return tuple(names.tolist())


def _read_split(
  archive: zipfile.ZipFile,
  name: str,
  split: str,
  limit: int | None,
  image_size: int | None,
  num_classes: int,
) -> base.Split:
  """One split, limited and resized."""
  labels = read_array(archive, name, f"{split}_labels")
  checks.check_labels(f"{name}: {split}_labels", labels, num_classes)
  images = read_array(archive, name, f"{split}_images")
  if images.ndim == 3:
    images = images[..., None]
  stored = base.Split(np.ascontiguousarray(images), labels.astype(np.int32))
  option = "limit" if split == "train" else f"{split} limit"
  return reduce.reduce_split(stored, limit, image_size, f"{name}: {option}")


def read_array(archive: zipfile.ZipFile, name: str, key: str) -> np.ndarray:
  """One array, whole; its checksum is checked on the way."""
  with archive.open(f"{key}.npy") as file:
    try:
      array = np.lib.format.read_array(file, allow_pickle=False)
    except ValueError as error:
      raise ValueError(f"{name}: {key} is damaged: {error}") from error
    # The checksum is compared when the end of the member is reached.
    file.read()
  return array
