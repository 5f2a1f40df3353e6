"""The MBConv space: layers of a chain, and what each may choose.

Source: UNAS, Sec. 5 and Appendix E.1; ProxylessNAS (arXiv:1812.00332) for the
channels; SPEC 2.7.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jnas.genotype import Genotype
from jnas.spaces import SKIP, proxyless
from jnas.types import CellWeights

# Name -> (side of the kernel, expansion).
BLOCKS = {
  name: (kernel, expansion)
  for name, (kernel, expansion) in zip(
    proxyless.MBCONV_OPS,
    [(kernel, expansion) for kernel in (3, 5, 7) for expansion in (3, 6)],
    strict=True,
  )
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
    stem: channels after the first convolution.
    first: channels after the fixed block that follows.
    stages: (channels, stride of the first layer, number of layers).
    head: channels before the global average.
    num_classes: outputs.
    stem_stride: of the first convolution.
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
  stem_stride: int = 2

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


def scaled(
  *, num_layers: int, stem: int, num_classes: int, small_images: bool
) -> Plan:
  """ProxylessNAS-GPU's layout, thinner or shorter.

  Source: SPEC 2.7: 21 layers and 40 channels after the first convolution.
  Choice: all channels are multiplied by `stem / 40`, and small images are
  halved three times instead of five, the first convolution and the first stage
  keeping their size. 11, 16 and 21 layers are 2, 3 and 4 in each stage but the
  last, which has one; with 3, 5, 7 or 9 layers there are 2 in a stage and the
  last stages are left out.

  Args:
    num_layers: 21 in the paper.
    stem: channels after the first convolution; 40 in the paper.
    num_classes: outputs.
    small_images: whether images are of some 32 pixels instead of 224.

  Raises:
    ValueError: for sizes that make no such network.
  """
  published = Plan()
  num_stages, repeats = _stages(num_layers)

  def channels(width: int) -> int:
    return int(width * stem / published.stem + 0.5)

  stages = tuple(
    (
      channels(width),
      1 if small_images and index == 0 else stride,
      repeats if index < num_stages - 1 else 1,
    )
    for index, (width, stride, _) in enumerate(published.stages[:num_stages])
  )
  plan = Plan(
    stem=stem,
    first=channels(published.first),
    stages=stages,
    head=channels(published.head),
    num_classes=num_classes,
    stem_stride=1 if small_images else published.stem_stride,
  )
  if plan.num_rows("reduce") != len(stages) or plan.first < 1:
    raise ValueError(
      f"{stem} channels: too few to tell the stages of a chain of MBConv "
      "layers apart; use 4 or more"
    )
  return plan


def _stages(num_layers: int) -> tuple[int, int]:
  """How many stages so many layers make, and the layers of each."""
  num_stages = len(Plan().stages)
  repeats, rest = divmod(num_layers - 1, num_stages - 1)
  if not rest and repeats >= 2:
    return num_stages, repeats
  if num_layers in range(3, 2 * num_stages - 1, 2):
    return (num_layers + 1) // 2, 2
  raise ValueError(
    f"{num_layers} layers: a chain of MBConv layers has 3, 5, 7, 9, 11, 16, 21 "
    "and so on, 5 more each"
  )


def ops_of(genotype: Genotype, plan: Plan) -> tuple[str, ...]:
  """The operations of a genotype in the order of the chain.

  Args:
    genotype: of each kind of layer a cell whose nodes stand for its layers,
      each reading the one before.
    plan: channels and strides.

  Raises:
    ValueError: for a genotype that is none of the chain's.
  """
  names = {}
  for cell_type, cell in genotype.cells().items():
    if not is_chain(genotype):
      raise ValueError(
        f"the genotype's {cell_type} cell is none of a chain: each node "
        "must read the one before, and nothing else"
      )
    names[cell_type] = [op for _, _, op in cell.connections()]
  lengths = {name: plan.num_rows(name) for name in OPS}
  for name, length in lengths.items():
    if len(names.get(name, ())) != length:
      raise ValueError(
        f"the genotype has {len(names.get(name, ()))} {name} layers; the "
        f"network has {length}"
      )
  ops = tuple(
    names[layer.cell_type][row]
    for layer, row in zip(plan.layers, plan.rows, strict=True)
  )
  check_ops(ops, plan)
  return ops


def is_chain(genotype: Genotype) -> bool:
  """Whether a genotype lists the layers of a chain, of two kinds."""
  return genotype.reduce is not None and all(
    cell.num_inputs == 1
    and all(
      [source for _, source in node] == [index]
      for index, node in enumerate(cell.nodes)
    )
    for cell in genotype.cells().values()
  )
