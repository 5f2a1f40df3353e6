"""Checks of data and of options, each mistake one line.

The line names the source and the array, the value found and the values
allowed. Nothing here changes anything.
"""

import numpy as np

from jnas.data import base

# Images of more channels than this and at most this high are channels first.
_MAX_CHANNELS = 4


def validate(dataset: base.Dataset) -> base.Dataset:
  """Checks that a dataset keeps its promises.

  Args:
    dataset: from any source.

  Returns:
    The same dataset.

  Raises:
    ValueError: with one line that names the split, what was found and what is
      wanted.
  """
  name, num_classes = dataset.name, dataset.num_classes
  if num_classes < 2:
    raise ValueError(f"{name}: found {num_classes} classes; wanted 2 or more")
  if len(set(dataset.class_names)) < num_classes:
    raise ValueError(f"{name}: class names repeat: {dataset.class_names}")
  splits = {"train": dataset.train, "test": dataset.test}
  if dataset.valid is not None:
    splits["valid"] = dataset.valid
  for split_name, split in splits.items():
    if not isinstance(split, base.Split):
      raise ValueError(
        f"{name}: the {split_name} split is a {type(split).__name__}; wanted "
        "a jnas.data.base.Split"
      )
    check_split(name, split_name, split, num_classes)
    if split.image_shape != dataset.image_shape:
      raise ValueError(
        f"{name}: {split_name} images have the shape {split.image_shape}, "
        f"training images {dataset.image_shape}; they must be the same"
      )
  channels = dataset.image_shape[2]
  if len(dataset.mean) != channels or len(dataset.std) != channels:
    raise ValueError(
      f"{name}: {len(dataset.mean)} means and {len(dataset.std)} standard "
      f"deviations for images of {channels} channels"
    )
  if not np.all(np.isfinite(dataset.mean)) or not np.all(
    np.isfinite(dataset.std) & (np.asarray(dataset.std) > 0)
  ):
    raise ValueError(
      f"{name}: mean {dataset.mean} and std {dataset.std}; they must be "
      "finite, and std above 0"
    )
  return dataset


def check_split(
  name: str, split_name: str, split: base.Split, num_classes: int
) -> None:
  """Raises ValueError, one line, unless the split is sound.

  Args:
    name: of the dataset, for messages.
    split_name: of the split, for messages.
    split: the images and labels.
    num_classes: labels must be below this.
  """
  images, labels = split.images, split.labels
  for array, what in ((images, "images"), (labels, "labels")):
    if not isinstance(array, np.ndarray):
      raise ValueError(
        f"{name}: {split_name} {what} are a {type(array).__name__}; wanted "
        "a NumPy array"
      )
  check_images(f"{name}: {split_name} images", images.shape, images.dtype)
  if images.ndim != 4:
    raise ValueError(
      f"{name}: {split_name} images have the shape {images.shape}; wanted "
      "[N, height, width, channels]"
    )
  if labels.dtype != np.int32:
    raise ValueError(
      f"{name}: {split_name} labels are {labels.dtype}; wanted int32"
    )
  check_labels(f"{name}: {split_name} labels", labels, num_classes)
  if len(images) != len(labels):
    raise ValueError(
      f"{name}: {len(images)} {split_name} images but {len(labels)} labels"
    )


def check_images(
  what: str, shape: tuple[int, ...], dtype: np.dtype
) -> tuple[int, int, int]:
  """Checks the shape and type of an array of images, grey or with channels.

  Args:
    what: the array's name, for messages.
    shape: `[N, H, W]` or `[N, H, W, C]`.
    dtype: must be uint8.

  Returns:
    Height, width and channels.
  """
  if dtype != np.uint8:
    hint = (
      "; multiply images in [0, 1] by 255, round and cast"
      if np.issubdtype(dtype, np.floating)
      else ""
    )
    raise ValueError(f"{what} are {dtype}; wanted uint8, 0 to 255{hint}")
  if len(shape) not in (3, 4):
    raise ValueError(
      f"{what} have the shape {shape}; wanted [N, height, width, channels], "
      "or [N, height, width] for grey images"
    )
  if 0 in shape:
    raise ValueError(f"{what} are empty: their shape is {shape}")
  height, width, channels = (*shape[1:], 1)[:3]
  if channels > _MAX_CHANNELS >= height:
    raise ValueError(
      f"{what} have the shape {shape}, channels first; wanted channels "
      "last, [N, height, width, channels]"
    )
  return height, width, channels


def check_labels(what: str, labels: np.ndarray, num_classes: int) -> None:
  """Raises ValueError, one line, unless labels are `[N]` integers in range."""
  if not np.issubdtype(labels.dtype, np.integer):
    raise ValueError(f"{what} are {labels.dtype}; wanted whole numbers")
  if labels.ndim != 1:
    raise ValueError(f"{what} have the shape {labels.shape}; wanted [N]")
  if not labels.size:
    raise ValueError(f"{what} are empty")
  for label in (int(labels.min()), int(labels.max())):
    if not 0 <= label < num_classes:
      raise ValueError(
        f"{what} hold {label}; with {num_classes} classes they must be 0 to "
        f"{num_classes - 1}"
      )


def check_limit(limit: int | None, available: int, what: str) -> None:
  """Raises ValueError, one line, unless the limit is None or 1 to available."""
  if limit is not None and not 1 <= limit <= available:
    raise ValueError(
      f"{what} is {limit}; {available} images are there: give 1 to "
      f"{available}, or none for all"
    )


def check_image_size(image_size: int | None) -> None:
  """Raises ValueError, one line, unless the size is None or positive."""
  if image_size is not None and image_size < 1:
    raise ValueError(
      f"image size is {image_size}; give pixels a side, 1 or more, or none "
      "to keep the images as they are"
    )


def refuse_argument(name: str, argument: str) -> None:
  """Raises ValueError if something follows the name of a fixed dataset."""
  if argument:
    raise ValueError(f"{name} takes no argument; found {argument!r}")


def require_argument(name: str, argument: str, what: str) -> None:
  """Raises ValueError if nothing follows the name of a kind of source."""
  if not argument:
    raise ValueError(f"{name} needs {what}: {name}:{what}")
