"""The networks of a search: their layouts, sizes and Flax modules, checked.

What does not fit them is refused here, before anything compiles.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import numpy as np

from jnas import config as configs
from jnas.genotype import Genotype, validate
from jnas.methods import Sizes
from jnas.nets import families, graph
from jnas.nets import resources as tables
from jnas.nets.options import Options
from jnas.ops import OPS, Settings
from jnas.pipeline.problem import Problem, check_op
from jnas.selection import magnitude


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


def resources(problem: Problem) -> dict[str, np.ndarray]:
  """Costs of the supernet's connections, as `methods.Context` has them."""
  height, width, _ = problem.info.image_shape
  return tables.resources(
    problem.space, search_plan(problem), size=(height, width)
  )


def sizes(problem: Problem) -> Sizes:
  """Costs of the derived network, linear in what is chosen."""
  height, width, channels = problem.info.image_shape
  base, edges = tables.sizes(
    problem.space,
    evaluate_plan(problem),
    size=(height, width),
    image_channels=channels,
    settings=derived_settings(problem),
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
    check_op(name)
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
