"""Exact parameters and multiply-adds of the networks of the MBConv space.

Source: SPEC 2.7 and 2.10. Counted from the static cost of each layer, without
building the network.
"""

from collections.abc import Sequence

from jnas.nets import count
from jnas.nets.mbconv_plan import BLOCKS, OPS, SKIP, Layer, Plan, check_ops
from jnas.ops import Cost, Settings, Shape
from jnas.ops import base as ops_base

SETTINGS = Settings(affine=True, pool_norm=False)


def count_derived(
  ops: Sequence[str], plan: Plan, *, size: int, image_channels: int = 3
) -> count.Count:
  """Counts the network of one candidate a layer.

  Args:
    ops: the candidate of each layer, in the order of the chain.
    plan: channels and strides.
    size: height and width of the images.
    image_channels: 3 for colour.

  Returns:
    Parameters and multiply-adds; there is no auxiliary head to add.

  Raises:
    ValueError: for operations that do not fit the plan, or a size that the
      network cannot halve.
  """
  check_ops(ops, plan)
  return _count([[op] for op in ops], plan, size, image_channels)


def count_supernet(
  plan: Plan, *, size: int, image_channels: int = 3
) -> count.Count:
  """Counts every candidate of every layer.

  Args:
    plan: channels and strides.
    size: height and width of the images.
    image_channels: 3 for colour.

  Returns:
    Parameters and multiply-adds; there is no auxiliary head to add.

  Raises:
    ValueError: for a size that the network cannot halve.
  """
  candidates = [OPS[layer.cell_type] for layer in plan.layers]
  return _count(candidates, plan, size, image_channels)


def count_rest(
  plan: Plan, *, size: int, image_channels: int = 3
) -> count.Count:
  """Counts what every network has besides the layers that are searched.

  Args:
    plan: channels and strides.
    size: height and width of the images.
    image_channels: 3 for colour.
  """
  return _count([()] * len(plan.layers), plan, size, image_channels)


def block_cost(
  shape: Shape, layer: Layer, name: str, settings: Settings
) -> Cost:
  """Cost of a block.

  Args:
    shape: of its input.
    layer: its channels and stride.
    name: of the block.
    settings: whether batch norms have parameters.
  """
  kernel, expansion = BLOCKS[name]
  return _block(shape, layer, kernel, expansion, settings)


def _count(
  candidates: Sequence[Sequence[str]],
  plan: Plan,
  size: int,
  image_channels: int,
) -> count.Count:
  divisor = plan.stem_stride
  for layer in plan.layers:
    divisor *= layer.stride
  if size < divisor or size % divisor:
    raise ValueError(
      f"images of {size}x{size}: height and width must be multiples of "
      f"{divisor}, since the network halves them that often"
    )
  side = size // plan.stem_stride
  stem = Shape(side, side, plan.stem)
  total = _conv_norm(stem, kernel=3, fan_in_channels=image_channels, relu=True)
  first = Layer(plan.stem, plan.first, stride=1)
  total = total.plus(_block(stem, first, kernel=3, expansion=1))
  shape = stem._replace(channels=plan.first)
  for layer, names in zip(plan.layers, candidates, strict=True):
    blocks = [_block(shape, layer, *BLOCKS[n]) for n in names if n != SKIP]
    total = total.plus(*blocks)
    shape = ops_base.strided(shape, layer.stride)
    shape = shape._replace(channels=layer.features)
  last = shape._replace(channels=plan.head)
  linear = plan.head * plan.num_classes
  total = total.plus(
    _conv_norm(last, kernel=1, fan_in_channels=shape.channels, relu=True),
    Cost(params=linear + plan.num_classes, madds=linear),
  )
  return count.Count(
    params=total.params,
    params_with_aux=total.params,
    madds=total.madds,
    madds_ext=total.madds_ext,
  )


def _block(
  shape: Shape,
  layer: Layer,
  kernel: int,
  expansion: int,
  settings: Settings = SETTINGS,
) -> Cost:
  """Cost of a block on an input of this shape."""
  wide = shape._replace(channels=expansion * layer.channels)
  inner = ops_base.strided(wide, layer.stride)
  output = inner._replace(channels=layer.features)
  cost = _conv_norm(
    inner, kernel=kernel, fan_in_channels=1, relu=True, settings=settings
  ).plus(
    _conv_norm(
      output,
      kernel=1,
      fan_in_channels=wide.channels,
      relu=False,
      settings=settings,
    )
  )
  if expansion == 1:
    return cost
  return cost.plus(
    _conv_norm(
      wide,
      kernel=1,
      fan_in_channels=layer.channels,
      relu=True,
      settings=settings,
    )
  )


def _conv_norm(
  output: Shape,
  *,
  kernel: int,
  fan_in_channels: int,
  relu: bool,
  settings: Settings = SETTINGS,
) -> Cost:
  cost = ops_base.conv_cost(
    output, kernel=(kernel, kernel), fan_in_channels=fan_in_channels
  ).plus(ops_base.norm_cost(output, settings))
  return cost.plus(ops_base.relu_cost(output)) if relu else cost
