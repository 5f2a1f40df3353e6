"""Whether a dataset is streamed, and what it is then.

A dataset in memory is read once and lives on the device; one that is streamed
is read from its files again in every epoch. Of the same images, seen the same
way, both give the same batches.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from jnas.data import base, checks, reduce, streamed, views

# Sets larger than this, in decoded bytes, are streamed unless asked otherwise.
RESIDENT_BYTES = 4 * 2**30
# Training images that mean and deviation are computed of, where the source
# does not know them.
_STATISTICS_OF = 2000


def _ignore(line: str) -> None:
  """Tells no one."""


class Stream(NamedTuple):
  """How a dataset may be streamed.

  Attributes:
    mode: "on", or "auto" for random crops and for what is too large to be in
      memory.
    crop_scale: as in `views.View`; above 0 only in what is streamed.
    crop_ratio: as in `views.View`.
    eval_crop: as in `views.View`.
    max_unreadable: images that may be skipped as unreadable.
    tell: called with one line for each of them.
  """

  mode: Literal["auto", "on"]
  crop_scale: float = 0.0
  crop_ratio: float = 4 / 3
  eval_crop: float = 1.0
  max_unreadable: int = 0
  tell: Callable[[str], None] = _ignore


def wanted(
  source: base.Source,
  name: str,
  argument: str,
  options: dict[str, int | None],
  stream: Stream | None,
) -> bool:
  """Whether a dataset is to be streamed.

  Args:
    source: what it is read by.
    name: of the source, for messages.
    argument: of the source.
    options: `limit`, `test_limit`, `image_size` of `jnas.data.load`.
    stream: how; None for never.

  Raises:
    FileNotFoundError: it is not there.
    ValueError: it must be streamed, and cannot.
  """
  if stream is None:
    return False
  must = stream.mode == "on" or stream.crop_scale > 0
  if source.streams is None:
    if must:
      raise ValueError(
        f"{name} is read into memory whole and cannot be streamed; "
        "data.stream must be 'auto' or 'off' and data.crop_scale 0, or the "
        "source folder:PATH, tfds:NAME or one of TFDS's by name"
      )
    return False
  if options["image_size"] is None:
    if must:
      raise ValueError(
        f"{name} is streamed, and data.image_size is 0; it must be the pixels "
        "a side that images are brought to, 1 or more"
      )
    return False
  if must:
    return True
  info = source.streams.describe(argument, **options)
  images = info.num_train + info.num_valid + info.num_test
  return images * math.prod(info.image_shape) > RESIDENT_BYTES


def describe(
  source: base.Source, argument: str, options: dict[str, int | None]
) -> base.DatasetInfo:
  """What `load` would return, without reading an image."""
  assert source.streams is not None
  info = source.streams.describe(argument, **options)
  if info.image_shape[2] != 3:
    raise ValueError(
      f"{info.name}: its images have {info.image_shape[2]} channel; streamed "
      "images have 3: data.stream must be 'off'"
    )
  return dataclasses.replace(info, streamed=True)


def load(
  source: base.Source,
  argument: str,
  options: dict[str, int | None],
  stream: Stream,
) -> base.Dataset:
  """Opens a dataset without reading its images.

  Choice: where the source does not know mean and deviation of its channels,
  they are those of the first 2,000 training images of a class-balanced order,
  or of all where there are fewer, as seen in measuring.

  Args:
    source: what it is read by.
    argument: of the source.
    options: `limit`, `test_limit`, `image_size` of `jnas.data.load`.
    stream: how the images are seen.

  Returns:
    The dataset, its splits `streamed.StreamedSplit`.

  Raises:
    FileNotFoundError: it is not there.
    ValueError: it is not as it must be.
    streamed.UnreadableError: too many images cannot be read.
  """
  assert source.streams is not None
  info = describe(source, argument, options)
  if info.num_classes < 2:
    raise ValueError(
      f"{info.name}: found {info.num_classes} classes; wanted 2 or more"
    )
  opened = source.streams.open(argument)
  size = options["image_size"]
  assert size is not None
  view = views.View(
    size, stream.crop_scale, stream.crop_ratio, stream.eval_crop
  )
  faults = streamed.Faults(stream.max_unreadable, stream.tell)
  limits = {"train": options["limit"], "test": options["test_limit"]}
  splits = {}
  for split, stored in opened.splits.items():
    what = f"{info.name}: {split} labels"
    checks.check_labels(what, stored.labels, len(opened.class_names))
    option = "limit" if split == "train" else f"{split} limit"
    index = reduce.balanced_head(
      stored.labels, limits.get(split), f"{info.name}: {option}"
    )
    splits[split] = streamed.StreamedSplit(
      stored.labels[index], index, stored.read, stored.name, view, faults
    )
  train = splits["train"]
  mean, std = opened.statistics or _statistics(train)
  return base.Dataset(
    name=info.name,
    train=train,
    test=splits["test"],
    class_names=opened.class_names,
    mean=mean,
    std=std,
    valid=splits.get("valid"),
    note=opened.note,
  )


def _statistics(
  train: streamed.StreamedSplit,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Of the head of the training images, an image at a time in memory."""
  head = train.take(
    reduce.balanced_head(train.labels, min(len(train), _STATISTICS_OF), "head")
  )
  return base.channel_statistics(head.head(len(head)))
