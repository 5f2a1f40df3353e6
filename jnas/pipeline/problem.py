"""From a config to the objects that the stages work with, all checked.

Everything a user can get wrong is found here, before anything compiles.
"""

import dataclasses
import inspect
import math
import sys
import typing
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jnas import config as configs
from jnas import data, mistakes, registry
from jnas.data import streaming
from jnas.data.base import Dataset, DatasetInfo
from jnas.genotype import Genotype, validate
from jnas.methods import METHODS, Method, Sizes
from jnas.nets import families, graph
from jnas.nets import resources as tables
from jnas.nets.options import Options
from jnas.ops import OPS, Op, Settings
from jnas.pipeline import display, lookup
from jnas.selection import SELECTORS, magnitude
from jnas.spaces import SPACES, Space
from jnas.training import batches, processes, sharding

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
    _check_op(name)
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


def search_net(problem: Problem) -> nn.Module:
  """The supernet of a config.

  Raises:
    ValueError: if images, batch or sizes do not fit it.
  """
  config, space = problem.config.search, problem.space
  height, width, _ = problem.info.image_shape
  problem.family.check_image(height, width, config.stem)
  for images, use in (
    (problem.num_train, "that fit the weights"),
    (problem.num_valid, "that fit the architecture"),
  ):
    _check_batch("search.batch_size", config.batch_size, images, use)
  plan = search_plan(problem)
  wanted, inputs = problem.family.cell_types, problem.family.num_inputs
  if set(space.cell_types) != set(wanted) or space.num_inputs != inputs:
    raise ValueError(
      f"space {problem.config.space!r} has the cells "
      f"{', '.join(space.cell_types)} of {space.num_inputs} inputs; wanted "
      f"{', '.join(sorted(wanted))} of {inputs} inputs"
    )
  if config.drop_path and not problem.family.drops_paths:
    raise ValueError(_no_paths("search", config.drop_path))
  try:
    return problem.family.supernet(space, plan, options(problem))
  except ValueError as error:
    raise ValueError(f"supernet: {error}") from error


def options(problem: Problem) -> Options:
  """What the supernet saves."""
  return Options(**dataclasses.asdict(problem.config.supernet))


def scheme(found: Problem) -> str:
  """How weights and architecture are updated."""
  chosen = found.config.search.scheme
  return found.method.schemes[0] if chosen == "default" else chosen


def resources(found: Problem) -> dict[str, np.ndarray]:
  """Costs of the supernet's connections, as `methods.Context` has them."""
  height, width, _ = found.info.image_shape
  return tables.resources(found.space, search_plan(found), size=(height, width))


def sizes(found: Problem) -> Sizes:
  """Costs of the derived network, linear in what is chosen."""
  height, width, channels = found.info.image_shape
  base, edges = tables.sizes(
    found.space,
    evaluate_plan(found),
    size=(height, width),
    image_channels=channels,
    settings=derived_settings(found),
  )
  return Sizes(base=base, edges=edges)


def search_plan(problem: Problem) -> Any:
  """The layout of the supernet."""
  return _plan("search", problem, problem.config.search)


def evaluate_plan(problem: Problem) -> Any:
  """The layout of the derived network."""
  return _plan("evaluate", problem, problem.config.evaluate)


def check_evaluate(problem: Problem) -> None:
  """Refuses settings that the derived network's training cannot have.

  Raises:
    ValueError: naming the value found and the values allowed.
  """
  config = problem.config.evaluate
  height, width, _ = problem.info.image_shape
  problem.family.check_image(height, width, config.stem)
  if config.auxiliary_weight:
    problem.family.check_auxiliary(height, width, config.stem)
  _check_batch(
    "evaluate.batch_size", config.batch_size, problem.info.num_train, "to train"
  )
  evaluate_plan(problem)
  if config.drop_path and not problem.family.drops_paths:
    raise ValueError(_no_paths("evaluate", config.drop_path))
  if config.cutout > 2 * max(height, width):
    raise ValueError(
      f"evaluate.cutout is {config.cutout}; it must be 0 to "
      f"{2 * max(height, width)} for images of {height}x{width}"
    )
  if not config.inherit:
    return
  if evaluate_plan(problem) != search_plan(problem):
    raise ValueError(
      "evaluate.inherit needs the cells, channels and stem of the search: "
      f"evaluate has {config.cells}, {config.channels}, {config.stem}; search "
      f"has {problem.config.search.cells}, {problem.config.search.channels}, "
      f"{problem.config.search.stem}"
    )


def derived_settings(problem: Problem) -> Settings:
  """Settings of the operations of a derived network."""
  settings = problem.family.settings
  if not problem.config.evaluate.pool_norm:
    return settings
  return settings._replace(pool_norm=True)


def derived_net(problem: Problem, genotype: Genotype) -> Any:
  """The derived network of a genotype.

  Raises:
    ValueError: if the genotype names an unknown operation, lacks a cell, or
      does not fit the network.
  """
  check_genotype(genotype)
  plan, inputs = evaluate_plan(problem), problem.family.num_inputs
  for cell_type, cell in genotype.cells().items():
    if cell.num_inputs != inputs:
      raise ValueError(
        f"the genotype's {cell_type} cell has {cell.num_inputs} inputs; it "
        f"must have {inputs} in the network of space {problem.config.space!r}"
      )
  if problem.config.evaluate.inherit:
    # The supernet has weights only for connections of its space.
    magnitude.chosen_weights(genotype, problem.space)
  return problem.family.derived(
    genotype,
    plan,
    problem.config.evaluate.auxiliary_weight > 0,
    derived_settings(problem),
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
    _check_op(name)
  validate(genotype, known_ops={*OPS, *families.BLOCKS, *dotted})


def parametric_ops(genotype: Genotype) -> int:
  """Connections of a genotype whose operation has weights to train."""
  return sum(
    name in families.BLOCKS or graph.lookup(name).parametric
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
  sharding.check_batch("search.batch_size", config.search.batch_size)
  sharding.check_batch("evaluate.batch_size", config.evaluate.batch_size)


def _plan(
  section: str,
  problem: Problem,
  config: configs.SearchConfig | configs.EvaluateConfig,
) -> Any:
  """The layout that a section of the config asks for."""
  try:
    return problem.family.plan(
      config.cells, config.channels, problem.info.num_classes, config.stem
    )
  except ValueError as error:
    raise ValueError(f"{section}: {error}") from error


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


def _no_paths(section: str, rate: float) -> str:
  return (
    f"{section}.drop_path is {rate}, but a chain of layers has no edges to "
    "drop; it must be 0"
  )


def _check_batch(name: str, batch_size: int, available: int, use: str) -> None:
  """Refuses a batch larger than its split; `use` says what the images do."""
  if available < 1:
    raise ValueError(
      f"{name} is {batch_size}, but there are no images {use}; choose another "
      "data.limit or data.valid_fraction"
    )
  if batch_size > available:
    raise ValueError(
      f"{name} is {batch_size}; it must be 1 to {available}, the number of "
      f"images {use}"
    )


def _check_op(name: str) -> None:
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
