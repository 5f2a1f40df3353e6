"""The MBConv networks as the pipeline knows networks.

A genotype has a cell for each kind of layer, `normal` and `reduce`, whose nodes
stand for the layers of that kind in the order of the chain.

Source: UNAS, Appendix E.1; SPEC 2.7.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import numpy as np

from jnas.genotype import Genotype
from jnas.nets import count, derived, macro, mbconv, mbconv_count, timed
from jnas.nets.mbconv_plan import OPS, SKIP, Plan, ops_of, scaled
from jnas.nets.options import Options
from jnas.ops import OPS as CELL_OPS
from jnas.ops import Cost, Settings, Shape
from jnas.ops import base as ops_base
from jnas.spaces import Space
from jnas.types import Array, PyTree

SETTINGS = mbconv_count.SETTINGS


class DerivedNet(mbconv.DerivedNet):
  """The derived network, with the outputs that training expects."""

  def __call__(
    self, images: Array, *, train: bool, drop_path: Array | None = None
  ) -> Any:
    """Maps `[B, H, W, channels]` to `[B, classes]` logits.

    Args:
      images: normalised.
      train: whether batch norms use the batch's statistics.
      drop_path: None; there are no edges to drop.
    """
    if drop_path is not None:
      raise ValueError(
        "drop_path: a chain of MBConv layers has no edges to drop"
      )
    return derived.Outputs(super().__call__(images, train=train), None)


def plan(cells: int, features: int, classes: int, stem: macro.Stem) -> Plan:
  """The layout of so many layers; the stem "imagenet" halves five times."""
  return scaled(
    num_layers=cells,
    stem=features,
    num_classes=classes,
    small_images=stem == "cifar",
  )


def check_image(height: int, width: int, stem: macro.Stem) -> None:
  """Refuses images that cannot be halved as often as the network does."""
  divisor = 8 if stem == "cifar" else 32
  if height != width or height % divisor:
    raise ValueError(
      f"images of {height}x{width}: a chain of MBConv layers with the {stem!r} "
      f"stem takes squares whose side is a multiple of {divisor}"
    )


def check_auxiliary(height: int, width: int, stem: macro.Stem) -> None:
  """Refuses an auxiliary head."""
  raise ValueError(
    "a chain of MBConv layers has no auxiliary head; set "
    "evaluate.auxiliary_weight 0"
  )


def supernet(space: Space, plan: Plan, options: Options) -> mbconv.Supernet:
  """The supernet of a space's layers.

  Raises:
    ValueError: for options that it has not, or layers that are not the plan's.
  """
  for name, value in options._asdict().items():
    if value != getattr(Options(), name):
      raise ValueError(
        f"{name} {value!r}: the supernet of MBConv layers has no such option; "
        "leave it out"
      )
  _check_layers(space, plan)
  return mbconv.Supernet(plan)


def build_derived(
  genotype: Genotype, plan: Plan, auxiliary: bool, settings: Settings
) -> DerivedNet:
  """The network of a genotype; norms have scale and shift in any case."""
  del auxiliary, settings
  return DerivedNet(plan, ops_of(genotype, plan))


def inherit(
  variables: Mapping[str, PyTree], parent: mbconv.Supernet, child: DerivedNet
) -> dict[str, PyTree]:
  """The supernet's variables that a derived network has."""
  del parent
  return mbconv.inherit(variables, child.ops)


def count_derived(
  genotype: Genotype, plan: Plan, size: int, channels: int, settings: Settings
) -> count.Count:
  """Counts the network of a genotype."""
  del settings
  ops = ops_of(genotype, plan)
  return mbconv_count.count_derived(
    ops, plan, size=size, image_channels=channels
  )


def count_supernet(
  space: Space, plan: Plan, size: int, channels: int, options: Options
) -> count.Count:
  """Counts every candidate of every layer."""
  del space, options
  return mbconv_count.count_supernet(plan, size=size, image_channels=channels)


def resources(
  space: Space, plan: Plan, *, size: tuple[int, int]
) -> dict[str, np.ndarray]:
  """Parameters, multiply-adds and memory accesses of each layer's candidates.

  Source: SNAS, Sec. 2.4; batch norms count nothing.

  Returns:
    For each kind of layer `[1, E, K, 3]`: a layer stands for itself alone.
  """
  settings = Settings(affine=False, pool_norm=False)
  tables = _tables(
    space,
    plan,
    size,
    settings,
    lambda cost: (cost.params, cost.madds, cost.accesses),
  )
  return {name: table[None] for name, table in tables.items()}


def sizes(
  space: Space, plan: Plan, *, size: tuple[int, int], image_channels: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """Parameters and multiply-adds of a derived network, linear in its choices.

  Returns:
    `[2]` of everything but the layers, and for each kind of layer `[E, K, 2]`.
  """
  rest = mbconv_count.count_rest(
    plan, size=size[0], image_channels=image_channels
  )
  tables = _tables(
    space, plan, size, SETTINGS, lambda cost: (cost.params, cost.madds)
  )
  return np.array([rest.params, rest.madds], np.float64), tables


def indexed(
  space: Space, plan: Plan, settings: Settings, every_edge: bool
) -> timed.Indexed:
  """One program for every architecture; each layer takes one candidate."""
  del settings, every_edge
  _check_layers(space, plan)
  net = mbconv.IndexedNet(plan)

  def init(images: Array) -> PyTree:
    index_l = np.zeros(len(plan.layers), np.int32)
    return timed.fill(net, images, index_l, train=False)

  def apply(variables: PyTree, images: Array, index_l: Array) -> Any:
    return net.apply(variables, images, index_l, train=False)

  def index(weights: Mapping[str, Any]) -> np.ndarray:
    return np.array(
      [
        np.argmax(np.asarray(weights[layer.cell_type])[row])
        for layer, row in zip(plan.layers, plan.rows, strict=True)
      ],
      np.int32,
    )

  return timed.Indexed(init, apply, index)


def timed_layers(
  space: Space, plan: Plan, settings: Settings, height: int, width: int
) -> list[timed.TimedLayer]:
  """Every layer's candidates, to be timed alone."""
  del settings
  _check_layers(space, plan)
  found = []
  for layer, row, shape in zip(
    plan.layers, plan.rows, layer_shapes(plan, height, width), strict=True
  ):

    def candidate(name: str, layer=layer, shape=shape) -> timed.TimedOp | None:
      if name == SKIP:
        return None
      module: nn.Module = mbconv.DerivedLayer(layer, name)
      return timed.TimedOp((name, layer, shape), module, shape)

    ops = tuple(candidate(name) for name in OPS[layer.cell_type])
    found.append(timed.TimedLayer(layer.cell_type, row, (ops,)))
  return found


def layer_shapes(plan: Plan, height: int, width: int) -> list[Shape]:
  """What each layer reads."""
  stride = plan.stem_stride
  shape = Shape(height // stride, width // stride, plan.first)
  shapes = []
  for layer in plan.layers:
    shapes.append(shape)
    shape = ops_base.strided(shape, layer.stride)
    shape = shape._replace(channels=layer.features)
  return shapes


def _tables(
  space: Space, plan: Plan, size: tuple[int, int], settings: Settings, row: Any
) -> dict[str, np.ndarray]:
  """For each kind of layer its rows of costs."""
  _check_layers(space, plan)
  tables: dict[str, list] = {name: [] for name in space.cell_types}
  for layer, shape in zip(plan.layers, layer_shapes(plan, *size), strict=True):

    def cost(name: str, layer=layer, shape=shape) -> Cost:
      if name == SKIP:
        return CELL_OPS[SKIP].cost(shape, 1, settings)
      return mbconv_count.block_cost(shape, layer, name, settings)

    tables[layer.cell_type].append(
      [row(cost(name)) for name in OPS[layer.cell_type]]
    )
  return {name: np.array(rows, np.float64) for name, rows in tables.items()}


def _check_layers(space: Space, plan: Plan) -> None:
  """Refuses a space whose layers are not those of the plan."""
  for name, ops in OPS.items():
    wanted = (ops,) * plan.num_rows(name)
    if space.ops.get(name) != wanted:
      raise ValueError(
        f"space {space.name!r} has {len(space.ops.get(name, ()))} {name} "
        f"layers; a network of {len(plan.layers)} layers has {len(wanted)}, "
        f"each with {', '.join(ops)}"
      )
