"""Images with a mask each, by name: what `jnas segment` trains on.

A source is `NAME:ARGUMENT` with a name of `MASKED`, or
`"package.module:SOURCE"` for a `MaskedSource` of the user's own; text after a
second colon is its argument.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from jnas import registry
from jnas.data import base, masked, npz_masks, tfds_masks, voc


class MaskedSource(NamedTuple):
  """A kind of images with masks: what one entry of `MASKED` owes.

  Attributes:
    describe: `(argument, *, limit, test_limit) -> DatasetInfo`, of images of
      any size; reads no image, and masks only to count the classes where
      nothing else tells their number.
    load: `(argument, *, limit, test_limit, view) -> MaskedDataset`, every mask
      and every image checked.
    has_lists: whether both also take `train_list`.
  """

  describe: Callable[..., base.DatasetInfo]
  load: Callable[..., masked.MaskedDataset]
  has_lists: bool = False


MASKED = {
  "voc": MaskedSource(voc.describe, voc.load, has_lists=True),
  "npz": MaskedSource(npz_masks.describe, npz_masks.load),
  "tfds": MaskedSource(tfds_masks.describe, tfds_masks.load),
}
_DEFAULT_LIST = "train"


class Options(NamedTuple):
  """What is read of a source.

  Attributes:
    train_list: which list of training images, where a source has several.
    limit: training images to take, the first; None for all.
    test_limit: test images, likewise.
  """

  train_list: str
  limit: int | None
  test_limit: int | None


def describe(source: str, options: Options) -> base.DatasetInfo:
  """What `load` would return, without reading the images.

  The masks are read where only they tell the number of classes.

  Args:
    source: `"voc:PATH"`, `"npz:PATH"`, `"tfds:NAME"`, or
      `"package.module:SOURCE"` with or without `":ARGUMENT"`.
    options: what is read of it.

  Returns:
    Numbers of images, channels and classes; height and width are 0.

  Raises:
    FileNotFoundError: what the source names does not exist.
    ValueError: the source is unknown, has no masks, or an option is wrong.
  """
  found, argument = _find(source, options)
  return found.describe(argument)


def load(
  source: str, options: Options, view: masked.View
) -> masked.MaskedDataset:
  """Opens images with masks, and checks every one.

  Args:
    source: as for `describe`.
    options: as for `describe`.
    view: how they are seen.

  Raises:
    FileNotFoundError: as for `describe`.
    ValueError: as for `describe`; or an image or a mask is not as it must be.
  """
  found, argument = _find(source, options)
  return found.load(argument, view=view)


def _find(source: str, options: Options) -> tuple[MaskedSource, str]:
  """The kind of source, with its options, and its argument."""
  name, _, argument = source.partition(":")
  if name == "tfds" and argument.partition("/")[0] == "voc":
    raise ValueError(
      f"{source}: TFDS's VOC has boxes and no masks; unpack the VOC archive "
      "and give voc:PATH"
    )
  if name not in MASKED:
    attribute, _, argument = argument.partition(":")
    name = f"{name}:{attribute}".rstrip(":")
  found = registry.resolve(name, MASKED, "mask source", of=MaskedSource)
  chosen: dict[str, Any] = {
    "limit": options.limit,
    "test_limit": options.test_limit,
  }
  if found.has_lists:
    chosen["train_list"] = options.train_list
  elif options.train_list != _DEFAULT_LIST:
    raise ValueError(
      f"segment.train_list is {options.train_list!r}; {name} has no lists, so "
      f"it must be {_DEFAULT_LIST!r}"
    )
  return (
    MaskedSource(
      functools.partial(found.describe, **chosen),
      functools.partial(found.load, **chosen),
    ),
    argument,
  )
