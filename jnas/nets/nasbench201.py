"""Exact parameters and multiply-adds of the networks of NAS-Bench-201.

One cell, repeated in three stages, with a residual block that halves the
resolution and doubles the channels between two stages.

Source: NAS-Bench-201 (arXiv:2001.00326), Sec. 2.1; SPEC 2.5 and 2.10. Counted
from the static cost of each operation, without building the network.
"""

from jnas.genotype import Genotype
from jnas.nets import count, graph, nasbench201_derived, nasbench201_plan
from jnas.nets.nasbench201_plan import NUM_STAGES, SETTINGS
from jnas.ops import Cost, Settings, Shape
from jnas.ops import base as ops_base
from jnas.spaces import Space

__all__ = ["NUM_STAGES", "count_network", "count_supernet"]


def count_network(
  genotype: Genotype,
  *,
  size: int,
  num_classes: int,
  features: int = 16,
  cells_per_stage: int = 5,
  image_channels: int = 3,
) -> count.Count:
  """Counts the network of a cell with one input and one output node.

  Every operation counts that the cell names, also where its input is zero or
  its output is not used: the authors' network holds and runs it all the same.

  Args:
    genotype: one cell type, as a NAS-Bench-201 string gives it; any number of
      nodes and connections.
    size: height and width of the images.
    num_classes: outputs of the classifier.
    features: C of the first stage; 16 in the benchmark.
    cells_per_stage: N; 5 in the benchmark.
    image_channels: 3 for colour.

  Returns:
    Parameters and multiply-adds; there is no auxiliary head to add.

  Raises:
    ValueError: for a cell that cannot be stacked so, or sizes without meaning.
  """
  cell = nasbench201_derived.single_cell(genotype)
  plan = nasbench201_plan.plan(
    features=features,
    cells_per_stage=cells_per_stage,
    num_classes=num_classes,
  )
  return _count(
    graph.derived_graph(cell),
    plan,
    SETTINGS,
    size=size,
    image_channels=image_channels,
  )


def count_supernet(
  space: Space,
  plan: nasbench201_plan.BenchPlan,
  *,
  size: int,
  image_channels: int,
) -> count.Count:
  """Counts a supernet, every operation of every edge.

  Args:
    space: one cell type, with one input and one output node.
    plan: sizes.
    size: height and width of the images.
    image_channels: 3 for colour.

  Returns:
    Its parameters and multiply-adds.

  Raises:
    ValueError: for a size that the network cannot halve.
  """
  return _count(
    graph.supernet_graph(space, "normal"),
    plan,
    SETTINGS._replace(pool_norm=space.pool_norm),
    size=size,
    image_channels=image_channels,
  )


def _count(
  cell: graph.CellGraph,
  plan: nasbench201_plan.BenchPlan,
  settings: Settings,
  *,
  size: int,
  image_channels: int,
) -> count.Count:
  nasbench201_plan.check_image(size, size)
  if image_channels < 1:
    raise ValueError(
      f"image_channels is {image_channels}; it must be at least 1"
    )
  shape = Shape(size, size, plan.features)
  total = _conv_norm(shape, kernel=3, fan_in_channels=image_channels)
  for stage in range(NUM_STAGES):
    if stage:
      block, shape = _residual_block(shape)
      total = total.plus(block)
    one = _cell(cell, shape, settings)
    total = total.plus(*[one] * plan.cells_per_stage)
  linear = shape.channels * plan.num_classes
  total = total.plus(
    ops_base.norm_cost(shape, SETTINGS),
    ops_base.relu_cost(shape),
    Cost(params=linear + plan.num_classes, madds=linear),
  )
  return count.Count(
    params=total.params,
    params_with_aux=total.params,
    madds=total.madds,
    madds_ext=total.madds_ext,
  )


def _cell(cell: graph.CellGraph, shape: Shape, settings: Settings) -> Cost:
  costs = [
    graph.lookup(group.op).cost(shape, 1, settings)
    for group in cell.groups
    for _ in group.members
  ]
  return Cost().plus(*costs)


def _residual_block(shape: Shape) -> tuple[Cost, Shape]:
  """Cost of the block that halves this shape, and the shape after it.

  ReLU, 3x3 convolution, batch norm, twice, the stride first; the shortcut is a
  2x2 average pool and a 1x1 convolution without batch norm.
  """
  output = ops_base.strided(shape, 2)._replace(channels=2 * shape.channels)
  shortcut = ops_base.conv_cost(
    output, kernel=(1, 1), fan_in_channels=shape.channels
  )
  cost = shortcut.plus(
    ops_base.relu_cost(shape),
    _conv_norm(output, kernel=3, fan_in_channels=shape.channels),
    ops_base.relu_cost(output),
    _conv_norm(output, kernel=3, fan_in_channels=output.channels),
  )
  return cost, output


def _conv_norm(output: Shape, *, kernel: int, fan_in_channels: int) -> Cost:
  return ops_base.conv_cost(
    output, kernel=(kernel, kernel), fan_in_channels=fan_in_channels
  ).plus(ops_base.norm_cost(output, SETTINGS))
