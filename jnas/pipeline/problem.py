"""From a config to the objects that the stages work with, all checked.

What a user can get wrong is found here and in `networks`, before anything
compiles.
"""

import dataclasses
import inspect
import math
import sys
import typing
from collections.abc import Callable
from typing import Any

import jax

from jnas import config as configs
from jnas import data, mistakes, registry
from jnas.data import streaming
from jnas.data.base import Dataset, DatasetInfo
from jnas.genotype import Genotype
from jnas.methods import METHODS, Method
from jnas.nets import families
from jnas.ops import OPS, Op
from jnas.pipeline import display, lookup
from jnas.selection import SELECTORS
from jnas.spaces import SPACES, Space
from jnas.training import batches, processes, sharding

# From mixing weights and the space to a genotype.
Selector = Callable[..., Genotype]


@dataclasses.dataclass(frozen=True)
class Problem:
  """What a config names.

  Attributes:
    config: the config.
    space: the search space.
    method: the search method.
    settings: its settings.
    selector: what reads the genotype off.
    info: sizes of the data.
  """

  config: configs.Config
  space: Space
  method: Method
  settings: Any
  selector: Selector
  info: DatasetInfo

  @property
  def family(self) -> families.Family:
    """The kind of network that the space's cells make."""
    return families.of(self.space)

  @property
  def num_train(self) -> int:
    """Images that fit the weights in the search."""
    if self.info.num_valid:
      return self.info.num_train
    share = 1 - self.config.data.valid_fraction
    return int(round(share * self.info.num_train, 6))

  @property
  def num_valid(self) -> int:
    """Images that fit the architecture in the search."""
    if self.info.num_valid:
      return self.info.num_valid
    return self.info.num_train - self.num_train

  def images(self, dataset: Dataset, *, cutout: int) -> batches.Images:
    """How images become inputs."""
    return batches.Images(
      mean=dataset.mean,
      std=dataset.std,
      crop_padding=self.config.data.crop_padding,
      flip=self.config.data.flip,
      cutout=cutout,
      jitter=self.config.data.jitter,
      hue=self.config.data.hue,
    )


def prepare(config: configs.Config) -> Problem:
  """Finds and checks what a config names, without loading the images.

  Raises:
    ValueError: for a value without meaning or a name that is unknown.
    FileNotFoundError: for data that are not there.
  """
  configs.check(config)
  found = of(config, data.describe(config.data.source, **_options(config.data)))
  side = min(found.info.image_shape[:2])
  if config.data.crop_padding >= side:
    raise ValueError(
      f"data.crop_padding is {config.data.crop_padding}; it must be 0 to "
      f"{side - 1}, less than the images' side"
    )
  return found


def of(config: configs.Config, info: DatasetInfo) -> Problem:
  """Finds what a config names besides its data.

  Raises:
    ValueError: for a name that is unknown, or things that do not go together.
    FileNotFoundError: for a benchmark's table that is not there.
  """
  space = registry.resolve(config.space, SPACES, "space", of=Space)
  method = registry.resolve(config.method.name, METHODS, "method", of=Method)
  lookup.load(config)  # refuses what is no table
  for name in space.op_names - families.of(space).blocks:
    check_op(name)
  settings = _method_settings(config.method, method)
  _check_scheme(config, method, space)
  selector = _selector(config.method, method)
  return Problem(config, space, method, settings, selector, info)


def load_data(problem: Problem) -> Dataset:
  """The images of a config.

  Raises:
    ValueError: if they are not as they must be.
    FileNotFoundError: if they are not there.
  """
  settings, info = problem.config.data, problem.info
  try:
    return data.load(settings.source, **_options(settings))
  except MemoryError as error:
    num_images = info.num_train + info.num_valid + info.num_test
    size = num_images * math.prod(info.image_shape) / 2**30
    raise ValueError(
      f"{info.name}: {num_images} images of "
      f"{'x'.join(map(str, info.image_shape))} take {size:.1f} GiB, more than "
      "there is; set data.stream=on, data.limit or a smaller data.image_size"
    ) from error


def scheme(found: Problem) -> str:
  """How weights and architecture are updated."""
  chosen = found.config.search.scheme
  return found.method.schemes[0] if chosen == "default" else chosen


def check_devices(config: configs.Config) -> None:
  """Refuses batches that the devices cannot share; starts the backend.

  Raises:
    ValueError: naming the batch and sizes that would do.
  """
  sharding.check_batch("search.batch_size", config.search.batch_size)
  sharding.check_batch("evaluate.batch_size", config.evaluate.batch_size)


def _options(settings: configs.DataConfig) -> dict[str, Any]:
  """Of `data.load`; 0 means no limit in a config."""
  stream = None
  if settings.stream != "off":
    stream = streaming.Stream(
      mode=settings.stream,
      crop_scale=settings.crop_scale,
      crop_ratio=settings.crop_ratio,
      eval_crop=settings.eval_crop,
      max_unreadable=settings.max_unreadable,
      tell=_tell,
    )
  return {
    "limit": settings.limit or None,
    "test_limit": settings.test_limit or None,
    "image_size": settings.image_size or None,
    "stream": stream,
  }


def _tell(line: str) -> None:
  """Warns, also in a process that is silent: each reads images of its own."""
  if processes.is_first():
    display.warn(line)
  else:
    print(f"warning: process {jax.process_index()}: {line}", file=sys.stderr)


def check_op(name: str) -> None:
  """Refuses a name that stands for no operation.

  Raises:
    ValueError: naming it and the known ones.
  """
  registry.resolve(name, OPS, "operation", of=Op)


def _check_scheme(config: configs.Config, method: Method, space: Space) -> None:
  """Refuses what the method cannot do, with the reason."""
  wanted = config.search.scheme
  if wanted != "default" and wanted not in method.schemes:
    raise ValueError(
      f"search.scheme is {wanted!r}; {config.method.name} allows "
      f"{', '.join(method.schemes)}"
    )
  chosen = method.schemes[0] if wanted == "default" else wanted
  if chosen == "second_order" and config.search.optimizer != "sgd":
    raise ValueError(
      "search.scheme is 'second_order', whose virtual step is one of SGD; "
      f"search.optimizer is {config.search.optimizer!r}"
    )
  if config.search.arch_warmup >= config.search.epochs and chosen != "frozen":
    raise ValueError(
      f"search.arch_warmup is {config.search.arch_warmup}; it must be below "
      f"search.epochs, {config.search.epochs}, or the architecture never moves"
    )
  in_stages = config.progressive.cells or config.progressive.max_skips >= 0
  if space.chain and in_stages:
    raise ValueError(
      f"space {config.space!r} is a chain of layers, without cells; "
      "progressive.cells must be empty and progressive.max_skips -1"
    )
  if method.needs is not None:
    method.needs(space)


def _selector(config: configs.MethodConfig, method: Method) -> Selector:
  """What reads the genotype off: checked now, since it is called last."""
  name = method.selector if config.selector == "default" else config.selector
  selector = registry.resolve(name, SELECTORS, "selector")
  try:
    inspect.signature(selector).bind("weights", "space")
  except TypeError as error:
    raise ValueError(
      f"selector {name!r} cannot be called as selector(weights, space): {error}"
    ) from error
  return selector


def _method_settings(config: configs.MethodConfig, method: Method) -> Any:
  known = [field.name for field in dataclasses.fields(method.settings)]
  for name in config.settings:
    if name not in known:
      raise ValueError(
        f"method.settings: {config.name} has no setting {name!r}"
        f"{mistakes.suggest(name, known)}; it has {', '.join(known) or 'none'}"
      )
  hints = typing.get_type_hints(method.settings)
  for name, value in config.settings.items():
    mistakes.check_type(f"method.settings.{name}", value, hints[name])
  try:
    return method.settings(**config.settings)
  except ValueError as error:
    raise ValueError(f"method.settings: {error}") from error
