"""`npz:PATH` with masks: images whose every pixel has a class, in one archive.

Keys: `train_images`, `train_masks`, `test_images`, `test_masks`, and optionally
`class_names`. Images are as for `npz`; masks are uint8, `[N, height, width]`,
with classes from 0, and 255 for pixels that count nowhere.
"""

import zipfile

import numpy as np

from jnas.data import base, checks, masked, npz

_REQUIRED = ("train_images", "train_masks", "test_images", "test_masks")


def describe(
  argument: str, *, limit: int | None, test_limit: int | None
) -> base.DatasetInfo:
  """What `load` would return.

  Only where `class_names` is missing are the masks read, to count the classes.

  Args:
    argument: path of the file.
    limit: training images to take, the first; None for all.
    test_limit: test images, likewise.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is damaged, does not hold what it must, or a limit is
      out of range.
  """
  name = f"npz:{argument}"
  checks.require_argument("npz", argument, "PATH")
  with npz.open_archive(argument) as archive:
    headers = _read_headers(archive, name)
    class_names = _class_names(archive, headers, name)
  counts = [headers[f"{split}_masks"].shape[0] for split in ("train", "test")]
  checks.check_limit(limit, counts[0], f"{name}: limit")
  checks.check_limit(test_limit, counts[1], f"{name}: test limit")
  channels = (*headers["train_images"].shape[1:], 1)[2]
  return base.DatasetInfo(
    name=name,
    num_train=limit or counts[0],
    num_test=test_limit or counts[1],
    image_shape=(0, 0, channels),
    num_classes=len(class_names),
  )


def load(
  argument: str,
  *,
  limit: int | None,
  test_limit: int | None,
  view: masked.View,
) -> masked.MaskedDataset:
  """Reads an archive, and checks every mask.

  Args:
    argument: as for `describe`.
    limit: as for `describe`.
    test_limit: as for `describe`.
    view: how images are seen; the colour of padding is the mean's.

  Raises:
    FileNotFoundError: as for `describe`.
    ValueError: as for `describe`; or a mask has an unknown class, or the test
      images are too large.
  """
  name = f"npz:{argument}"
  limits = {"train": limit, "test": test_limit}
  arrays = {}
  with npz.open_archive(argument) as archive:
    headers = _read_headers(archive, name)
    class_names = _class_names(archive, headers, name)
    for key in _REQUIRED:
      whole = npz.read_array(archive, name, key)
      arrays[key] = whole[: limits[key.partition("_")[0]]]
  for split in ("train", "test"):
    masks = f"{split}_masks"
    masked.check_mask(arrays[masks], len(class_names), f"{name}: {masks}")
  height, width = arrays["test_images"].shape[1:3]
  if max(height, width) > view.whole:
    raise ValueError(
      f"segment.eval_size is {view.whole}; it must be {max(height, width)} or "
      f"more for test images of {width}x{height}"
    )
  images = arrays["train_images"]
  mean, std = base.channel_statistics(images.reshape(*images.shape[:3], -1))
  view = view._replace(fill=tuple(round(255 * value) for value in mean))

  def split_of(split: str) -> masked.MaskedSplit:
    images, masks = arrays[f"{split}_images"], arrays[f"{split}_masks"]
    return masked.MaskedSplit(
      len(masks),
      lambda at: (images[at], masks[at]),
      lambda at: f"{name}: {split}_images[{at}]",
      view,
      split == "train",
    )

  return masked.MaskedDataset(
    name, split_of("train"), split_of("test"), class_names, mean, std
  )


def _read_headers(archive: zipfile.ZipFile, name: str) -> dict[str, npz.Header]:
  """The header of every array, all that headers can tell checked."""
  headers = npz.read_headers(archive, name, _REQUIRED, ("class_names",))
  channels = []
  for split in ("train", "test"):
    what = f"{name}: {split}_masks"
    shape, dtype = headers[f"{split}_masks"]
    images = headers[f"{split}_images"]
    *_, count = checks.check_images(f"{name}: {split}_images", *images)
    channels.append(count)
    if dtype != np.uint8:
      raise ValueError(f"{what} are {dtype}; wanted uint8")
    if shape != images.shape[:3]:
      raise ValueError(
        f"{what} have the shape {shape}; wanted {images.shape[:3]}, "
        "the images' [N, height, width]"
      )
  if channels[0] != channels[1]:
    raise ValueError(
      f"{name}: training images have {channels[0]} channels, test images "
      f"{channels[1]}; they must be the same"
    )
  return headers


def _class_names(
  archive: zipfile.ZipFile, headers: dict[str, npz.Header], name: str
) -> tuple[str, ...]:
  """The names stored, or the numbers up to the largest in a training mask."""
  if "class_names" in headers:
    names = npz.read_class_names(archive, headers, name)
  else:
    masks = npz.read_array(archive, name, "train_masks")
    counted = masks[masks != masked.IGNORED]
    names = tuple(map(str, range(int(counted.max(initial=0)) + 1)))
  if len(names) < 2:
    raise ValueError(f"{name}: found {len(names)} classes; wanted 2 or more")
  return names
