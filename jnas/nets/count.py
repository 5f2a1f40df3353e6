"""Exact parameters and multiply-adds of derived networks and supernets.

Source: SPEC 2.10. Counted from the static cost of each operation, without
building the network; a test holds the parameters equal to the network's.
"""

import dataclasses

import jax

from jnas.genotype import Genotype
from jnas.nets import graph, heads, macro
from jnas.nets import options as choices
from jnas.nets.options import DEFAULT, Options
from jnas.ops import Cost, Settings, Shape, skip
from jnas.ops import base as ops_base
from jnas.spaces import Space
from jnas.types import PyTree


@dataclasses.dataclass(frozen=True)
class Count:
  """What a network costs.

  Attributes:
    params: trained numbers without the auxiliary head.
    params_with_aux: with it.
    madds: multiply-adds of convolutions and the classifier, one image.
    madds_ext: plus twice the batch norms' outputs and the ReLUs' outputs.
  """

  params: int
  params_with_aux: int
  madds: int
  madds_ext: int


def count_derived(
  genotype: Genotype,
  plan: macro.MacroPlan,
  *,
  size: int,
  image_channels: int,
  settings: Settings = Settings(affine=True, pool_norm=False),
) -> Count:
  """Counts a derived network.

  Args:
    genotype: a pair of cells.
    plan: stem, cells and classes.
    size: height and width of the images.
    image_channels: 3 for colour.
    settings: of the operations, as for the network.

  Returns:
    Its parameters and multiply-adds.

  Raises:
    ValueError: for a size that the network cannot halve.
  """
  if genotype.reduce is None:
    raise ValueError("the genotype has no reduction cell")
  graphs = {
    "normal": graph.derived_graph(genotype.normal),
    "reduce": graph.derived_graph(genotype.reduce),
  }
  return _count(graphs, plan, size, image_channels, settings)


def count_supernet(
  space: Space,
  plan: macro.MacroPlan,
  *,
  size: int,
  image_channels: int,
  options: Options = DEFAULT,
) -> Count:
  """Counts a supernet, every operation of every edge.

  Transit cells are counted whole: they hold the parameters of all operations,
  and which of them they compute changes during a search.

  Args:
    space: the search space.
    plan: stem, cells and classes.
    size: height and width of the images.
    image_channels: 3 for colour.
    options: of the supernet.

  Returns:
    Its parameters and multiply-adds.

  Raises:
    ValueError: for a size that the network cannot halve, or options that it
      cannot have.
  """
  choices.check(options, plan)
  graphs = {
    cell_type: graph.supernet_graph(space, cell_type)
    for cell_type in space.cell_types
  }
  settings = Settings(affine=False, pool_norm=space.pool_norm)
  return _count(graphs, plan, size, image_channels, settings, options)


def _count(
  graphs: dict[str, graph.CellGraph],
  plan: macro.MacroPlan,
  size: int,
  image_channels: int,
  settings: Settings,
  options: Options = DEFAULT,
) -> Count:
  macro.check_image(size, size, plan.stem)
  total, before_last, last = _stem(plan, size, image_channels)
  auxiliary = Cost()
  for index, cell_plan in enumerate(plan.cells):
    cell_graph = graphs[cell_plan.cell_type]
    cost, output = _cell(
      cell_graph, cell_plan, before_last, last, settings, options
    )
    total = total.plus(cost)
    before_last, last = last, output
    if index == plan.auxiliary_cell:
      auxiliary = _auxiliary(last, plan)
  linear = last.channels * plan.num_classes
  total = total.plus(Cost(params=linear + plan.num_classes, madds=linear))
  return Count(
    params=total.params,
    params_with_aux=total.params + auxiliary.params,
    madds=total.madds,
    madds_ext=total.madds_ext,
  )


def _stem(
  plan: macro.MacroPlan, size: int, image_channels: int
) -> tuple[Cost, Shape, Shape]:
  """Cost of the stem and the shapes of the first cell's inputs."""
  trained = Settings(affine=True, pool_norm=False)
  if plan.stem == "cifar":
    widths, stride = (macro.STEM_MULTIPLIER * plan.features,), 1
  else:
    widths, stride = (plan.features // 2, plan.features, plan.features), 2
  shape = Shape(size, size, image_channels)
  total, shapes = Cost(), []
  for index, width in enumerate(widths):
    if index:
      total = total.plus(ops_base.relu_cost(shape))
    output = ops_base.strided(shape, stride)._replace(channels=width)
    total = total.plus(
      ops_base.conv_cost(output, kernel=(3, 3), fan_in_channels=shape.channels),
      ops_base.norm_cost(output, trained),
    )
    shape = output
    shapes.append(output)
  return total, shapes[-2] if len(shapes) > 1 else shapes[-1], shapes[-1]


def _cell(
  cell: graph.CellGraph,
  plan: macro.CellPlan,
  before_last: Shape,
  last: Shape,
  settings: Settings,
  options: Options,
) -> tuple[Cost, Shape]:
  """Cost of a cell and the shape of its output."""
  if plan.halve_first:
    total = skip.reduce_cost(before_last, plan.features, settings)
  else:
    total = _relu_conv_norm(before_last, plan.features, settings)
  total = total.plus(_relu_conv_norm(last, plan.features, settings))
  outer = last._replace(channels=plan.features)
  after = ops_base.strided(outer, plan.stride)
  narrow = options.inner(plan.features)
  for group in cell.groups:
    from_input = group.source < cell.num_inputs
    read = (outer if from_input else after)._replace(channels=narrow)
    cost = graph.lookup(group.op).cost(
      read, plan.stride if from_input else 1, settings
    )
    times = 1 if options.share_features else len(group.members)
    total = total.plus(*[cost] * times)
  if options.bottleneck > 1:
    for source in {group.source for group in cell.groups}:
      read = outer if source < cell.num_inputs else after
      total = total.plus(_relu_conv_norm(read, narrow, settings))
    summed = after._replace(channels=narrow)
    cost = _relu_conv_norm(summed, plan.features, settings)
    total = total.plus(*[cost] * cell.num_nodes)
  return total, after._replace(channels=plan.features * len(cell.concat))


def _relu_conv_norm(shape: Shape, features: int, settings: Settings) -> Cost:
  output = shape._replace(channels=features)
  return ops_base.relu_cost(shape).plus(
    ops_base.conv_cost(output, kernel=(1, 1), fan_in_channels=shape.channels),
    ops_base.norm_cost(output, settings),
  )


def _auxiliary(shape: Shape, plan: macro.MacroPlan) -> Cost:
  """Parameters of the auxiliary head; it is not run where madds count."""
  first, second = heads.AUXILIARY_FEATURES
  norms = 2 * first + (2 * second if plan.stem == "cifar" else 0)
  convs = shape.channels * first + 4 * first * second
  linear = (second + 1) * plan.num_classes
  return Cost(params=convs + norms + linear)


def count_params(tree: PyTree) -> int:
  """Numbers in a pytree of arrays or of their shapes."""
  return sum(leaf.size for leaf in jax.tree.leaves(tree))
