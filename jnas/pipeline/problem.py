"""From a config to the objects that the stages work with, all checked.

Everything a user can get wrong is found here, before anything compiles.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from jnas import config as configs
from jnas import data, registry
from jnas.data.base import Dataset, DatasetInfo
from jnas.genotype import Genotype, validate
from jnas.methods import METHODS, Method
from jnas.nets import derived, graph, heads, macro, supernet
from jnas.ops import OPS
from jnas.selection import SELECTORS
from jnas.spaces import SPACES, Space
from jnas.training import sharding, steps

# Two-sided names that a genotype may use: the table's, and dotted paths.
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

  def images(self, dataset: Dataset, *, cutout: int) -> steps.Images:
    """How images become inputs."""
    return steps.Images(
      mean=dataset.mean,
      std=dataset.std,
      crop_padding=self.config.data.crop_padding,
      flip=self.config.data.flip,
      cutout=cutout,
    )


def prepare(config: configs.Config) -> Problem:
  """Finds and checks what a config names, without loading the images.

  Raises:
    ValueError: for a value without meaning or a name that is unknown.
    FileNotFoundError: for data that are not there.
  """
  configs.check(config)
  space = registry.resolve(config.space, SPACES, "space")
  method = registry.resolve(config.method.name, METHODS, "method")
  selector = registry.resolve(
    method.selector
    if config.method.selector == "default"
    else config.method.selector,
    SELECTORS,
    "selector",
  )
  for name in space.op_names:
    graph.lookup(name)
  limits = _limits(config.data)
  info = data.describe(config.data.source, **limits)
  return Problem(
    config=config,
    space=space,
    method=method,
    settings=_method_settings(config.method, method),
    selector=selector,
    info=info,
  )


def load_data(problem: Problem) -> Dataset:
  """The images of a config.

  Raises:
    ValueError: if they are not as they must be.
    FileNotFoundError: if they are not there.
  """
  settings = problem.config.data
  return data.load(settings.source, **_limits(settings))


def search_net(problem: Problem) -> supernet.Supernet:
  """The supernet of a config.

  Raises:
    ValueError: if images, batch or sizes do not fit it.
  """
  config = problem.config.search
  height, width, _ = problem.info.image_shape
  macro.check_image(height, width, config.stem)
  _check_batch("search.batch_size", config.batch_size, problem.num_train)
  _check_batch("search.batch_size", config.batch_size, problem.num_valid)
  return supernet.build(problem.space, search_plan(problem))


def search_plan(problem: Problem) -> macro.MacroPlan:
  """The layout of the supernet."""
  config = problem.config.search
  return macro.plan(
    num_cells=config.cells,
    features=config.channels,
    num_classes=problem.info.num_classes,
    stem=config.stem,
  )


def evaluate_plan(problem: Problem) -> macro.MacroPlan:
  """The layout of the derived network."""
  config = problem.config.evaluate
  return macro.plan(
    num_cells=config.cells,
    features=config.channels,
    num_classes=problem.info.num_classes,
    stem=config.stem,
  )


def check_evaluate(problem: Problem) -> None:
  """Refuses settings that the derived network's training cannot have.

  Raises:
    ValueError: naming the value found and the values allowed.
  """
  config = problem.config.evaluate
  height, width, _ = problem.info.image_shape
  macro.check_image(height, width, config.stem)
  if config.auxiliary_weight:
    heads.check_auxiliary(height, width, config.stem)
  _check_batch("evaluate.batch_size", config.batch_size, problem.info.num_train)
  evaluate_plan(problem)
  if config.cutout > 2 * max(height, width):
    raise ValueError(
      f"evaluate.cutout is {config.cutout}; the images are {height}x{width}"
    )
  if config.inherit and evaluate_plan(problem) != search_plan(problem):
    raise ValueError(
      "evaluate.inherit needs the cells, channels and stem of the search: "
      f"evaluate has {config.cells}, {config.channels}, {config.stem}; search "
      f"has {problem.config.search.cells}, {problem.config.search.channels}, "
      f"{problem.config.search.stem}"
    )


def derived_net(problem: Problem, genotype: Genotype) -> derived.DerivedNet:
  """The derived network of a genotype.

  Raises:
    ValueError: if the genotype names an unknown operation or lacks a cell.
  """
  check_genotype(genotype)
  return derived.build(
    genotype,
    evaluate_plan(problem),
    auxiliary=problem.config.evaluate.auxiliary_weight > 0,
  )


def check_genotype(genotype: Genotype) -> None:
  """Refuses operations that are neither in the table nor importable.

  Raises:
    ValueError: naming the operation and the known ones.
  """
  dotted = {
    name
    for cell in (genotype.normal, genotype.reduce)
    if cell is not None
    for node in cell.nodes
    for name, _ in node
    if ":" in name
  }
  for name in dotted:
    graph.lookup(name)
  validate(genotype, known_ops={*OPS, *dotted})


def parametric_ops(genotype: Genotype) -> int:
  """Connections of a genotype whose operation has weights to train."""
  return sum(
    graph.lookup(name).parametric
    for cell in (genotype.normal, genotype.reduce)
    if cell is not None
    for node in cell.nodes
    for name, _ in node
  )


def check_devices(config: configs.Config) -> None:
  """Refuses batches that the devices cannot share; starts the backend.

  Raises:
    ValueError: naming the batch and sizes that would do.
  """
  jax.devices()
  sharding.check_batch("search.batch_size", config.search.batch_size)
  sharding.check_batch("evaluate.batch_size", config.evaluate.batch_size)


def _limits(settings: configs.DataConfig) -> dict[str, int | None]:
  """0 means no limit in a config."""
  return {
    "limit": settings.limit or None,
    "test_limit": settings.test_limit or None,
    "image_size": settings.image_size or None,
  }


def _check_batch(name: str, batch_size: int, available: int) -> None:
  if batch_size > available:
    raise ValueError(
      f"{name} is {batch_size}; that split has {available} images"
    )


def _method_settings(config: configs.MethodConfig, method: Method) -> Any:
  known = {field.name: field for field in dataclasses.fields(method.settings)}
  for name, value in config.settings.items():
    if name not in known:
      raise ValueError(
        f"method.settings: {config.name} has no setting {name!r}; it has "
        f"{', '.join(known) or 'none'}"
      )
    if isinstance(value, str) and known[name].type not in (str, "str"):
      raise ValueError(
        f"method.settings.{name} is {value!r}; it must be a number"
      )
  return method.settings(**config.settings)
