"""Images to search and train on, by name.

A source is `NAME`, `NAME:ARGUMENT` with a name of `DATASETS`, or
`"package.module:load"` for a function of the user's own. Images are read into
memory as uint8, and the batches drawn by `loader` on the device; or they are
streamed (`streaming`), and the batches decoded by `prefetch` on the host. Both
are augmented by `augment`, on the device.
"""

import dataclasses
import inspect
from collections.abc import Callable

from jnas import mistakes, registry
from jnas.data import (
  base,
  checks,
  fashion_mnist_mini,
  folder,
  npz,
  reduce,
  segmentation,
  streaming,
  tfds,
)

DATASETS: dict[str, base.Source] = {
  "fashion_mnist_mini": fashion_mnist_mini.SOURCE,
  "npz": npz.SOURCE,
  "folder": folder.SOURCE,
  "cifar10": tfds.published_source("cifar10"),
  "cifar100": tfds.published_source("cifar100"),
  "svhn": tfds.published_source("svhn"),
  "imagenet2012": tfds.published_source("imagenet2012"),
  "tfds": tfds.SOURCE,
}


def load(
  source: str,
  *,
  limit: int | None = None,
  test_limit: int | None = None,
  image_size: int | None = None,
  stream: streaming.Stream | None = None,
) -> base.Dataset:
  """Loads a dataset.

  Args:
    source: `"fashion_mnist_mini"`, `"npz:PATH"`, `"folder:PATH"`, `"cifar10"`,
      `"tfds:NAME"`, or `"package.module:load"`, a function `load(argument)`
      that returns a `Dataset`; text after a second colon is its argument. A
      function that takes `limit`, `test_limit` or `image_size` by keyword is
      given them, to read no more than is wanted.
    limit: training images to take, the first of a class-balanced order; None
      for all.
    test_limit: test images, likewise.
    image_size: pixels a side to resize to; None to keep the images.
    stream: how it may be streamed; None to read it into memory.

  Returns:
    The dataset, checked.

  Raises:
    FileNotFoundError: what the source names does not exist.
    ValueError: the source is unknown, an option is out of range, or the data
      are not as they must be.
    streamed.UnreadableError: too many streamed images cannot be read.
  """
  checks.check_image_size(image_size)
  found, argument = _find(source)
  options = _options(limit, test_limit, image_size)
  if stream is not None and streaming.wanted(
    found, source, argument, options, stream
  ):
    return streaming.load(found, argument, options, stream)
  return checks.validate(found.load(argument, **options))


def describe(
  source: str,
  *,
  limit: int | None = None,
  test_limit: int | None = None,
  image_size: int | None = None,
  stream: streaming.Stream | None = None,
) -> base.DatasetInfo:
  """What `load` would return, without the images, and without any download.

  Args:
    source: as for `load`. A function of the user's own is called; in its place
      `"package.module:SOURCE"` may name a `base.Source`, which can do better.
    limit: as for `load`.
    test_limit: as for `load`.
    image_size: as for `load`.
    stream: as for `load`.

  Returns:
    Sizes and shapes.

  Raises:
    FileNotFoundError: as for `load`.
    ValueError: as for `load`, as far as can be told without the images.
  """
  checks.check_image_size(image_size)
  found, argument = _find(source)
  options = _options(limit, test_limit, image_size)
  if streaming.wanted(found, source, argument, options, stream):
    return streaming.describe(found, argument, options)
  return found.describe(argument, **options)


def _options(
  limit: int | None, test_limit: int | None, image_size: int | None
) -> dict[str, int | None]:
  return {"limit": limit, "test_limit": test_limit, "image_size": image_size}


def _find(source: str) -> tuple[base.Source, str]:
  """The kind of source and its argument."""
  name, _, argument = source.partition(":")
  if name in segmentation.MASKED and name not in DATASETS:
    raise ValueError(
      f"{name} holds masks, which only `jnas segment` trains on; known "
      f"datasets: {', '.join(DATASETS)}"
    )
  if name not in DATASETS:
    function, _, argument = argument.partition(":")
    name = f"{name}:{function}"
  found = registry.resolve(name.rstrip(":"), DATASETS, "dataset")
  if isinstance(found, base.Source):
    return found, argument
  if not callable(found):
    raise ValueError(
      f"dataset {name!r} is of type {type(found).__name__}; wanted a function "
      "load(argument) that returns a jnas.data.base.Dataset"
    )
  return _source_of(found, name), argument


def _source_of(function: Callable[..., base.Dataset], name: str) -> base.Source:
  """Makes a source of a function that may not know the options."""

  def load_reduced(argument: str, **options: int | None) -> base.Dataset:
    try:
      dataset = function(argument, **_accepted(function, options))
    except mistakes.SLIPS as error:
      raise _failure(error, name) from error
    if not isinstance(dataset, base.Dataset):
      kind = type(dataset).__name__
      raise ValueError(
        f"dataset {name!r} returned an object of type {kind}; wanted a "
        "jnas.data.base.Dataset"
      )
    checks.validate(dataset)
    # What the function has done already has no effect the second time.
    size = options["image_size"]
    limits = {
      "train": (options["limit"], f"{name}: limit"),
      "test": (options["test_limit"], f"{name}: test limit"),
      "valid": (None, name),
    }
    reduced = {
      split: reduce.reduce_split(images, limit, size, what)
      for split, (limit, what) in limits.items()
      if isinstance(images := getattr(dataset, split), base.Split)
    }
    return dataclasses.replace(dataset, **reduced)

  def describe_reduced(argument: str, **options) -> base.DatasetInfo:
    return load_reduced(argument, **options).info

  return base.Source(load_reduced, describe_reduced)


def _failure(error: Exception, name: str) -> Exception:
  """What a function of the user's own raised, as one line that names it."""
  kind = (
    FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
  )
  return kind(f"dataset {name!r}: {mistakes.describe(error)}")


def _accepted(
  function: Callable[..., base.Dataset], options: dict[str, int | None]
) -> dict[str, int | None]:
  """The options that a function takes by keyword."""
  parameters = inspect.signature(function).parameters
  if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
    return options
  return {name: options[name] for name in options if name in parameters}
