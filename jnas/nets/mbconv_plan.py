"""The MBConv space: layers of a chain, and what each may choose.

Source: UNAS, Sec. 5 and Appendix E.1; ProxylessNAS (arXiv:1812.00332) for the
channels; SPEC 2.7.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jnas.types import CellWeights

SKIP = "skip_connect"
# Name -> (side of the kernel, expansion).
BLOCKS = {
  f"mbconv_{kernel}x{kernel}_e{expansion}": (kernel, expansion)
  for kernel in (3, 5, 7)
  for expansion in (3, 6)
}
# In the order of the weights' columns. Layers that change their input's shape
# have the second list: an identity is impossible there (SPEC D21).
OPS = {"normal": (SKIP, *BLOCKS), "reduce": tuple(BLOCKS)}


class Layer(NamedTuple):
  """One layer of the chain.

  Attributes:
    channels: of its input.
    features: of its output.
    stride: 1 or 2.
  """

  channels: int
  features: int
  stride: int

  @property
  def cell_type(self) -> str:
    """`"normal"` if it keeps its input's shape, else `"reduce"`."""
    keeps = self.channels == self.features and self.stride == 1
    return "normal" if keeps else "reduce"


@dataclasses.dataclass(frozen=True)
class Plan:
  """Channels and strides. The defaults are ProxylessNAS-GPU's.

  Attributes:
    stem: channels after the first convolution, of stride 2.
    first: channels after the fixed block that follows.
    stages: (channels, stride of the first layer, number of layers).
    head: channels before the global average.
    num_classes: outputs.
  """

  stem: int = 40
  first: int = 24
  stages: tuple[tuple[int, int, int], ...] = (
    (32, 2, 4),
    (56, 2, 4),
    (112, 2, 4),
    (128, 1, 4),
    (256, 2, 4),
    (432, 1, 1),
  )
  head: int = 1728
  num_classes: int = 1000

  @property
  def layers(self) -> tuple[Layer, ...]:
    """The layers that are searched."""
    layers, channels = [], self.first
    for features, stride, repeats in self.stages:
      for repeat in range(repeats):
        layers.append(Layer(channels, features, 1 if repeat else stride))
        channels = features
    return tuple(layers)

  @property
  def rows(self) -> tuple[int, ...]:
    """Each layer's row in the weights of its cell type."""
    types = [layer.cell_type for layer in self.layers]
    return tuple(types[:i].count(types[i]) for i in range(len(types)))

  def num_rows(self, cell_type: str) -> int:
    """How many layers are of this type: 15 and 6 by default."""
    return sum(layer.cell_type == cell_type for layer in self.layers)


def check_ops(ops: Sequence[str], plan: Plan) -> None:
  """Refuses what is not one candidate for each layer.

  Raises:
    ValueError: with the layer, its operation and the allowed ones.
  """
  if len(ops) != len(plan.layers):
    raise ValueError(f"{len(ops)} operations for {len(plan.layers)} layers")
  for index, (op, layer) in enumerate(zip(ops, plan.layers, strict=True), 1):
    allowed = OPS[layer.cell_type]
    if op not in allowed:
      raise ValueError(
        f"layer {index} is {op!r}; it must be one of {', '.join(allowed)}"
      )


def strongest_ops(weights: CellWeights, plan: Plan) -> tuple[str, ...]:
  """The candidate of largest weight of each layer; ties go to the first.

  Source: UNAS, Sec. 4: the configuration of highest probability.

  Args:
    weights: `"normal"` `[15, 7]` and `"reduce"` `[6, 6]`, or logits.
    plan: channels and strides.

  Returns:
    The operations' names in the order of the chain.
  """
  best = {
    name: np.argmax(np.asarray(w), axis=-1) for name, w in weights.items()
  }
  return tuple(
    OPS[layer.cell_type][best[layer.cell_type][row]]
    for layer, row in zip(plan.layers, plan.rows, strict=True)
  )
