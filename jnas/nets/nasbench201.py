"""Exact parameters and multiply-adds of the networks of NAS-Bench-201.

One cell, repeated in three stages, with a residual block that halves the
resolution and doubles the channels between two stages.

Source: NAS-Bench-201 (arXiv:2001.00326), Sec. 2.1; SPEC 2.5 and 2.10. Counted
from the static cost of each operation, without building the network.
"""

from jnas.genotype import Cell, Genotype
from jnas.nets import count, graph
from jnas.ops import Cost, Settings, Shape
from jnas.ops import base as ops_base

NUM_STAGES = 3
# Batch norms are trained, and none follows a pool (SPEC 2.5).
SETTINGS = Settings(affine=True, pool_norm=False)


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
  cell = _single_cell(genotype)
  _check_sizes(
    size=size,
    num_classes=num_classes,
    features=features,
    cells_per_stage=cells_per_stage,
    image_channels=image_channels,
  )
  cell_graph = graph.derived_graph(cell)
  shape = Shape(size, size, features)
  total = _conv_norm(shape, kernel=3, fan_in_channels=image_channels)
  for stage in range(NUM_STAGES):
    if stage:
      block, shape = _residual_block(shape)
      total = total.plus(block)
    total = total.plus(*[_cell(cell_graph, shape)] * cells_per_stage)
  linear = shape.channels * num_classes
  total = total.plus(
    ops_base.norm_cost(shape, SETTINGS),
    ops_base.relu_cost(shape),
    Cost(params=linear + num_classes, madds=linear),
  )
  return count.Count(
    params=total.params,
    params_with_aux=total.params,
    madds=total.madds,
    madds_ext=total.madds_ext,
  )


def _single_cell(genotype: Genotype) -> Cell:
  cell = genotype.normal
  if (
    genotype.reduce is not None or cell.num_inputs != 1 or len(cell.concat) != 1
  ):
    raise ValueError(
      "not a cell for the network of NAS-Bench-201: it takes one cell type, "
      "with one input and one output node"
    )
  return cell


def _check_sizes(*, size: int, **counts: int) -> None:
  divisor = 2 ** (NUM_STAGES - 1)
  if size < divisor or size % divisor:
    raise ValueError(
      f"images of {size}x{size}: height and width must be multiples of "
      f"{divisor}, since {NUM_STAGES - 1} residual blocks halve them"
    )
  for name, value in counts.items():
    if value < 1:
      raise ValueError(f"{name} is {value}; it must be at least 1")


def _cell(cell: graph.CellGraph, shape: Shape) -> Cost:
  costs = [
    graph.lookup(group.op).cost(shape, 1, SETTINGS)
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
