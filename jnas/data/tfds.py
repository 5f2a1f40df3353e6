"""`tfds:NAME`, `cifar10`, `imagenet2012` and others: sets prepared by TFDS.

TensorFlow Datasets prepares a set once, into random-access files
(`array_record`), and reads them without TensorFlow. jnas only reads: it never
downloads, and plans with the published sizes of the sets it knows by name.
`TFDS_DATA_DIR` says where prepared sets are; without it,
`~/tensorflow_datasets`.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jnas.data import (
  base,
  checks,
  reduce,
  tfds_builders,
  tfds_labels,
  tfds_shards,
)


class Published(NamedTuple):
  """A well-known set.

  Attributes:
    tfds_name: its name in TFDS.
    info: its published sizes.
    statistics: the mean and standard deviation of each channel that the papers
      use; None to compute them from the training images.
  """

  tfds_name: str
  info: base.DatasetInfo
  statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None


PUBLISHED = {
  "cifar10": Published(
    "cifar10",
    base.DatasetInfo("cifar10", 50_000, 10_000, (32, 32, 3), 10),
    (
      (0.49139968, 0.48215827, 0.44653124),
      (0.24703233, 0.24348505, 0.26158768),
    ),
  ),
  "cifar100": Published(
    "cifar100",
    base.DatasetInfo("cifar100", 50_000, 10_000, (32, 32, 3), 100),
  ),
  "svhn": Published(
    "svhn_cropped",
    base.DatasetInfo("svhn", 73_257, 26_032, (32, 32, 3), 10),
  ),
  "imagenet2012": Published(
    "imagenet2012",
    # Its images have many sizes; the validation split is what papers test on.
    base.DatasetInfo("imagenet2012", 1_281_167, 50_000, (0, 0, 3), 1000),
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
  ),
}


class Prepared(NamedTuple):
  """A set on disk.

  Attributes:
    builder: the `tfds.core.DatasetBuilder`.
    image_key: which feature is the image.
    label_key: which feature is the label.
    splits: ours to TFDS's names of the splits.
  """

  builder: Any
  image_key: str
  label_key: str
  splits: dict[str, str]


def load(
  argument: str,
  *,
  limit: int | None = None,
  test_limit: int | None = None,
  image_size: int | None = None,
) -> base.Dataset:
  """Reads a prepared set into memory.

  Args:
    argument: its name in TFDS, such as `eurosat/rgb`.
    limit: training images to take, class-balanced; None for all.
    test_limit: test images, likewise.
    image_size: pixels a side to resize to; None if all have the same size.

  Returns:
    The dataset, with the statistics of the training images taken.

  Raises:
    FileNotFoundError: the set is not prepared, or has lost files.
    OSError: one of its files is damaged.
    ValueError: TFDS is not installed, does not know the name, or the set is
      not one of labelled images.
  """
  checks.require_argument("tfds", argument, "NAME")
  name = f"tfds:{argument}"
  prepared = _open(argument, name)
  limits = {"train": limit, "test": test_limit, "valid": None}
  splits = {
    split: _read_split(prepared, name, split, limits[split], image_size)
    for split in prepared.splits
  }
  mean, std = base.channel_statistics(splits["train"].images)
  label = prepared.builder.info.features[prepared.label_key]
  return base.Dataset(
    name=name,
    train=splits["train"],
    test=splits["test"],
    class_names=tuple(label.names),
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
  """What `load` would return, from what TFDS wrote of the prepared set.

  Args:
    argument: as for `load`.
    limit: as for `load`.
    test_limit: as for `load`.
    image_size: as for `load`.

  Returns:
    Sizes and shapes.

  Raises:
    FileNotFoundError: as for `load`.
    ValueError: as for `load`.
  """
  checks.require_argument("tfds", argument, "NAME")
  name = f"tfds:{argument}"
  prepared = _open(argument, name)
  info = prepared.builder.info
  shape = info.features[prepared.image_key].shape
  if None in shape[:2] and image_size is None:
    raise _many_sizes(name)
  counts = {
    ours: info.splits[theirs].num_examples
    for ours, theirs in prepared.splits.items()
  }
  stored = base.DatasetInfo(
    name=name,
    num_train=counts["train"],
    num_test=counts["test"],
    image_shape=(shape[0], shape[1], shape[2] or 3),
    num_classes=info.features[prepared.label_key].num_classes,
    num_valid=counts.get("valid", 0),
  )
  return reduce.reduce_info(
    stored, limit=limit, test_limit=test_limit, image_size=image_size
  )


def load_published(
  name: str, argument: str, **options: int | None
) -> base.Dataset:
  """Reads a set of `PUBLISHED`; see `load` for the options and errors."""
  checks.refuse_argument(name, argument)
  published = PUBLISHED[name]
  dataset = load(published.tfds_name, **options)
  mean, std = published.statistics or (dataset.mean, dataset.std)
  return dataclasses.replace(dataset, name=name, mean=mean, std=std)


def describe_published(
  name: str, argument: str, **options: int | None
) -> base.DatasetInfo:
  """The sizes of a set of `PUBLISHED`: as prepared here, else as published.

  A set may have been prepared without some of its images.
  """
  checks.refuse_argument(name, argument)
  published = PUBLISHED[name]
  try:
    _open(published.tfds_name, name)
  except (FileNotFoundError, ValueError):
    info = published.info
  else:
    found = describe(published.tfds_name, **options)
    return dataclasses.replace(found, name=name)
  if 0 in info.image_shape and options["image_size"] is None:
    raise _many_sizes(name)
  return reduce.reduce_info(info, **options)


def open_stored(argument: str) -> base.Opened:
  """A prepared set, each image read when it is wanted.

  The labels are read at once, with the images beside them, where jnas has not
  noted them in an earlier run (`tfds_labels`).

  Args:
    argument: as for `load`.

  Returns:
    The splits; the statistics are not known.

  Raises:
    FileNotFoundError: as for `load`.
    ValueError: as for `load`.
  """
  checks.require_argument("tfds", argument, "NAME")
  name = f"tfds:{argument}"
  prepared = _open(argument, name)
  splits = {}
  for ours, theirs in prepared.splits.items():
    encoded = _encoded(prepared, name, theirs)
    splits[ours] = base.Stored(
      tfds_labels.read(
        encoded, prepared.label_key, str(prepared.builder.data_path), theirs
      ),
      lambda at, encoded=encoded: encoded[at][prepared.image_key],
      lambda at, theirs=theirs: f"{name}: {theirs} example {at}",
    )
  label = prepared.builder.info.features[prepared.label_key]
  return base.Opened(splits, tuple(label.names))


def open_published(name: str, argument: str) -> base.Opened:
  """A set of `PUBLISHED`, each image read when it is wanted."""
  checks.refuse_argument(name, argument)
  published = PUBLISHED[name]
  return open_stored(published.tfds_name)._replace(
    statistics=published.statistics
  )


def published_source(name: str) -> base.Source:
  """The source of one set of `PUBLISHED`."""
  describe_it = functools.partial(describe_published, name)
  return base.Source(
    functools.partial(load_published, name),
    describe_it,
    base.Streams(functools.partial(open_published, name), describe_it),
  )


SOURCE = base.Source(load, describe, base.Streams(open_stored, describe))


def _many_sizes(name: str) -> ValueError:
  return ValueError(
    f"{name}: images have different sizes; set data.image_size to resize them"
  )


def _open(tfds_name: str, name: str) -> Prepared:
  """Finds a prepared set and what in it is the image and the label."""
  tfds = tfds_builders.import_tfds(name)
  builder = tfds_builders.find(tfds_name, name)
  image_key, label_key = builder.info.supervised_keys or ("image", "label")
  features = builder.info.features
  kinds = dict(features.items()) if hasattr(features, "items") else {}
  if not (
    isinstance(kinds.get(image_key), tfds.features.Image)
    and isinstance(kinds.get(label_key), tfds.features.ClassLabel)
  ):
    found = " ".join(str(features).split())
    raise ValueError(f"{name} is not a set of labelled images: {found}")
  splits = tfds_builders.splits(builder, name)
  return Prepared(builder, image_key, label_key, splits)


def _encoded(prepared: Prepared, name: str, stored: str) -> Any:
  """A split's examples by their position, images as the bytes of a file."""
  return tfds_builders.read(prepared.builder, name, stored, prepared.image_key)


def _read_split(
  prepared: Prepared,
  name: str,
  split: str,
  limit: int | None,
  image_size: int | None,
) -> base.Split:
  """One split, decoded; of a limited one only the images taken."""
  stored = prepared.splits[split]
  image_key, label_key = prepared.image_key, prepared.label_key
  encoded = _encoded(prepared, name, stored)
  examples = tfds_shards.Examples(
    prepared.builder.as_data_source(stored), f"{name}: {stored}"
  )
  labels = np.array([example[label_key] for example in encoded], np.int32)
  option = "limit" if split == "train" else f"{split} limit"
  index = reduce.balanced_head(labels, limit, f"{name}: {option}")
  decoded = (examples[int(i)][image_key] for i in index)
  images = _stack(decoded, len(index), name, image_size)
  return base.Split(images, labels[index])


def _stack(
  decoded: Iterator[np.ndarray],
  num_images: int,
  name: str,
  image_size: int | None,
) -> np.ndarray:
  """Images `[H, W, C]` as one array `[N, H, W, C]`, resized if asked to."""
  images = np.empty(0)
  for index, image in enumerate(decoded):
    if image_size is not None:
      image = reduce.resize_array(image[None], image_size)[0]
    if index == 0:
      images = np.empty((num_images, *image.shape), image.dtype)
    if image.shape != images.shape[1:]:
      raise ValueError(
        f"{name}: images have different sizes, {images.shape[1:3]} and "
        f"{image.shape[:2]} (height, width); set an image size to resize "
        "them to"
      )
    images[index] = image
  return images
