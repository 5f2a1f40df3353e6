"""A derived network that names the class of every pixel.

The backbone is the classifier's: its stem and cells, or layers, have the same
names, shapes and weights. Where it would reduce the resolution further than
the head wants, it runs on shifted images instead (`phases`), which is the
dilation of DeepLab with nothing changed in the backbone.

Source: DeepLabV3 (arXiv:1706.05587), Sec. 3.1 and 3.3; EnTranNAS, Table 5.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn

from jnas.genotype import Genotype
from jnas.nets import (
  cell,
  deeplab,
  derived,
  graph,
  heads,
  macro,
  mbconv,
  mbconv_plan,
  phases,
)
from jnas.ops import Settings
from jnas.types import Array

# Name of the head's variables; everything else is the backbone's.
HEAD = "deeplab"


class CellSegmenter(nn.Module):
  """Maps images to logits of pixels through the cells of one genotype.

  Attributes:
    graphs: the graph of each cell type.
    plan: stem and cells.
    settings: of the operations.
    head: of the head.
  """

  graphs: Mapping[str, graph.CellGraph]
  plan: macro.MacroPlan
  settings: Settings
  head: deeplab.Settings

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, channels]` to logits `[B, H, W, classes]`."""
    _, height, width, _ = images.shape
    stem = heads.Stem(self.plan.stem, self.plan.features, name="stem")
    before_last, last = stem(images, train=train)
    taken_back = strides_taken_back(
      macro.STEM_STRIDE[self.plan.stem],
      [plan.stride for plan in self.plan.cells],
      self.head.output_stride,
    )
    for index, plan in enumerate(self.plan.cells):
      if index in taken_back:
        # Twice as large before the cell that halves it.
        step = before_last.shape[1] // last.shape[1]
        before_last = phases.split(before_last, step=step)
        last = phases.split(last)
      before_last, last = (
        last,
        cell.Cell(
          self.graphs[plan.cell_type],
          plan,
          self.settings,
          name=f"cell_{index}",
        )(before_last, last, train=train),
      )
    for _ in taken_back:
      last = phases.join(last)
    head = deeplab.Head(self.head, name=HEAD)
    return head(last, (height, width), train=train)


class MBConvSegmenter(nn.Module):
  """Maps images to logits of pixels through a chain of MBConv layers.

  The head reads the last layer; the classifier's last convolution is left out.

  Attributes:
    plan: channels and strides.
    ops: the candidate of each layer, in the order of the chain.
    head: of the head.
  """

  plan: mbconv_plan.Plan
  ops: tuple[str, ...]
  head: deeplab.Settings

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, channels]` to logits `[B, H, W, classes]`."""
    _, height, width, _ = images.shape
    x = mbconv.Stem(self.plan, name="stem")(images, train=train)
    layers = self.plan.layers
    taken_back = strides_taken_back(
      self.plan.stem_stride,
      [layer.stride for layer in layers],
      self.head.output_stride,
    )
    for index, (layer, op) in enumerate(zip(layers, self.ops, strict=True)):
      if index in taken_back:
        x = phases.split(x[0])[None]
      run = mbconv.DerivedLayer(layer, op, name=f"layer_{index + 1}")
      x = run(x, train=train)
    features = x[0]
    for _ in taken_back:
      features = phases.join(features)
    head = deeplab.Head(self.head, name=HEAD)
    return head(features, (height, width), train=train)


def strides_taken_back(
  stem_stride: int, strides: Sequence[int], output_stride: int
) -> list[int]:
  """Which cells, by index, would make the features coarser than wanted.

  Args:
    stem_stride: how far the stem reduces the resolution.
    strides: of the cells, each 1 or 2.
    output_stride: how far all of it may.

  Raises:
    ValueError: if the network reduces the resolution less than that.
  """
  reached, found = stem_stride, []
  for index, stride in enumerate(strides):
    if stride == 1:
      continue
    if reached < output_stride:
      reached *= stride
    else:
      found.append(index)
  if reached != output_stride:
    raise ValueError(
      f"segment.output_stride is {output_stride}; the stem of the network "
      f"divides the resolution by {stem_stride} and all of it by {reached}: "
      "evaluate.stem must be 'imagenet'"
    )
  return found


def of_cells(
  genotype: Genotype,
  plan: macro.MacroPlan,
  settings: Settings,
  head: deeplab.Settings,
) -> CellSegmenter:
  """The network of a genotype of cells.

  Raises:
    ValueError: if the genotype has one cell type alone, or the network cannot
      have the output stride.
  """
  backbone = derived.build(genotype, plan, auxiliary=False, settings=settings)
  strides_taken_back(
    macro.STEM_STRIDE[plan.stem],
    [cell_plan.stride for cell_plan in plan.cells],
    head.output_stride,
  )
  return CellSegmenter(backbone.graphs, plan, settings, head)


def of_layers(
  genotype: Genotype,
  plan: mbconv_plan.Plan,
  settings: Settings,
  head: deeplab.Settings,
) -> MBConvSegmenter:
  """The network of a genotype of MBConv layers.

  Raises:
    ValueError: if the genotype is none of the plan's, or the network cannot
      have the output stride.
  """
  del settings  # they are the same in every network
  strides_taken_back(
    plan.stem_stride,
    [layer.stride for layer in plan.layers],
    head.output_stride,
  )
  return MBConvSegmenter(plan, mbconv_plan.ops_of(genotype, plan), head)


def overlay(
  variables: Mapping[str, Any], arrays: Mapping[str, Any], where: str
) -> dict[str, Any]:
  """Variables of a network with a classifier's in place of the backbone's.

  Args:
    variables: of a network of this module: `params`, `batch_stats`.
    arrays: of a derived network, by path: "params/stem/conv_0/kernel".
    where: the arrays are from, for messages.

  Raises:
    ValueError: naming the first that is missing or has another shape.
  """

  def replace(tree: Mapping[str, Any], path: str) -> dict[str, Any]:
    new = {}
    for name, value in tree.items():
      inner = f"{path}/{name}"
      if isinstance(value, Mapping):
        new[name] = replace(value, inner)
        continue
      found = arrays.get(inner)
      if found is None or found.shape != value.shape:
        there = "none" if found is None else f"one of shape {found.shape}"
        raise ValueError(
          f"{where} has {there} where the backbone has {inner} of shape "
          f"{value.shape}; it must be trained with the same genotype, "
          "evaluate.cells, evaluate.channels and evaluate.stem"
        )
      new[name] = found
    return new

  return {
    collection: {
      name: value if name == HEAD else replace(value, f"{collection}/{name}")
      for name, value in tree.items()
    }
    for collection, tree in variables.items()
  }
