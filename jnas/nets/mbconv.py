"""Networks of the MBConv space: a chain of mobile inverted residual blocks.

Each layer of the chain chooses one block, or, where it keeps its input's shape,
nothing. Supernet and derived network name their parts alike, so that a derived
network takes a part of the supernet's variables as they are.

Source: UNAS, Sec. 5 and Appendix E.1; SPEC 2.7.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import chex
import flax.linen as nn
import jax.numpy as jnp

from jnas.nets import drops, heads
from jnas.nets.mbconv_plan import BLOCKS, OPS, SKIP, Layer, Plan, check_ops
from jnas.ops import base
from jnas.types import Array, CellWeights

BATCH_NORM_EPS = 1e-3
Norm = functools.partial(base.BatchNorm, affine=True, eps=BATCH_NORM_EPS)


class MBConv(nn.Module):
  """Mobile inverted residual block: expand, depthwise, project.

  Source: MobileNetV2 (arXiv:1801.04381); SPEC 2.7.

  Attributes:
    features: output channels.
    kernel: side of the depthwise kernel.
    expansion: factor of the channels in between; 1 leaves the expansion out.
    stride: 1 or 2.
  """

  features: int
  kernel: int
  expansion: int
  stride: int

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[1, B, H, W, C]` to `[1, B, H', W', features]`."""
    y, channels = x, x.shape[-1]
    if self.expansion > 1:
      width = self.expansion * channels
      y = base.Pointwise(1, width, name="expand")(y)
      y = nn.relu6(Norm(name="expand_norm")(y, train=train))
    y = base.Depthwise(1, self.kernel, self.stride, name="depthwise")(y)
    y = nn.relu6(Norm(name="depthwise_norm")(y, train=train))
    y = base.Pointwise(1, self.features, name="project")(y)
    y = Norm(name="project_norm")(y, train=train)
    keeps = channels == self.features and self.stride == 1
    return x + y if keeps else y


class Stem(nn.Module):
  """First convolution and the fixed block."""

  plan: Plan

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, channels]` to `[1, B, H / stride, W / stride, first]`."""
    stride = self.plan.stem_stride
    conv = base.Conv(1, self.plan.stem, (3, 3), (stride, stride), name="conv")
    x = nn.relu6(Norm(name="norm")(conv(images[None]), train=train))
    block = MBConv(self.plan.first, 3, expansion=1, stride=1, name="block")
    return block(x, train=train)


class Head(nn.Module):
  """Last convolution, global average, classifier."""

  plan: Plan

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[1, B, H, W, C]` to logits `[B, classes]`."""
    x = base.Pointwise(1, self.plan.head, name="conv")(x)
    x = nn.relu6(Norm(name="norm")(x, train=train))
    return heads.Classifier(self.plan.num_classes, name="classifier")(
      heads.global_average(x[0])
    )


class SuperLayer(nn.Module):
  """Every candidate of one layer, mixed.

  Attributes:
    layer: its channels and stride.
  """

  layer: Layer

  @nn.compact
  def __call__(
    self,
    x: Array,
    weights: Array,
    *,
    train: bool,
    drop_skip: Array | None = None,
  ) -> Array:
    """Maps `[1, B, H, W, C]` and weights `[K]` or `[B, K]` to the mixture.

    `drop_skip` is as `Supernet` has it.
    """
    weights = weights.astype(x.dtype).reshape(1, -1, 1, 1, 1, weights.shape[-1])
    total = jnp.zeros((), x.dtype)
    for index, name in enumerate(OPS[self.layer.cell_type]):
      if name == SKIP:
        y = _skip(self, x, drop_skip if train else None)
      else:
        y = _block(name, self.layer)(x, train=train)
      total = total + weights[..., index] * y
    return total


class IndexedLayer(nn.Module):
  """One candidate of a layer, taken by its index when the program runs.

  Attributes:
    layer: its channels and stride.
  """

  layer: Layer

  def setup(self) -> None:
    """Makes the candidates, under the names that `SuperLayer` gives them."""
    for name in OPS[self.layer.cell_type]:
      if name != SKIP:
        setattr(self, name, _block(name, self.layer))

  def __call__(
    self,
    x: Array,
    index: Array,
    *,
    train: bool,
    drop_skip: Array | None = None,
  ) -> Array:
    """Maps `[1, B, H, W, C]` and `[]` to `[1, B, H', W', features]`."""
    names = OPS[self.layer.cell_type]
    branches = [
      functools.partial(
        _run_candidate, name, train, drop_skip if train else None
      )
      for name in names
    ]
    if self.is_initializing():
      for branch in branches:
        branch(self, x)
    return nn.switch(index, branches, self, x)


class DerivedLayer(nn.Module):
  """One layer with its chosen candidate."""

  layer: Layer
  op: str

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[1, B, H, W, C]` to `[1, B, H', W', features]`."""
    if self.op == SKIP:
      return x
    return _block(self.op, self.layer)(x, train=train)


class Supernet(nn.Module):
  """Maps images and mixing weights to logits.

  Source: UNAS, Appendix E.1, with dropout on the skip connections.

  Attributes:
    plan: channels and strides.
  """

  plan: Plan

  @nn.compact
  def __call__(
    self,
    images: Array,
    weights: CellWeights,
    *,
    train: bool,
    drop_skip: Array | None = None,
  ) -> Array:
    """Runs the network.

    Args:
      images: `[B, H, W, channels]`, normalised.
      weights: `"normal"` `[15, 7]` and `"reduce"` `[6, 6]`, or `[B, 15, 7]` and
        `[B, 6, 6]` where each example has its own architecture.
      train: whether batch norms use the batch's statistics; nothing is dropped
        otherwise.
      drop_skip: `[]` probability of dropping an element of the skip branch,
        the rest scaled up, drawn from the `drop_skip` stream, or None; 0.1 in
        UNAS.

    Returns:
      `[B, classes]` logits.
    """
    for cell_type, ops in OPS.items():
      shape = (self.plan.num_rows(cell_type), len(ops))
      chex.assert_shape(weights[cell_type], (..., *shape))
    x = Stem(self.plan, name="stem")(images, train=train)
    for index, (layer, row) in enumerate(
      zip(self.plan.layers, self.plan.rows, strict=True), start=1
    ):
      x = SuperLayer(layer, name=f"layer_{index}")(
        x,
        weights[layer.cell_type][..., row, :],
        train=train,
        drop_skip=drop_skip,
      )
    return Head(self.plan, name="head")(x, train=train)


class IndexedNet(nn.Module):
  """One compiled network for every architecture, at the cost of one.

  It has the supernet's variables and gives what the supernet gives for one-hot
  weights, but for the batch norms' running statistics, which move only in the
  candidates that ran.

  Source: SPEC 3.9, latency of a sample; UNAS, Eq. (7) for discrete samples.

  Attributes:
    plan: channels and strides.
  """

  plan: Plan

  @nn.compact
  def __call__(
    self,
    images: Array,
    index_l: Array,
    *,
    train: bool,
    drop_skip: Array | None = None,
  ) -> Array:
    """Runs the network.

    Args:
      images: `[B, H, W, channels]`, normalised.
      index_l: `[L]` integers, the column of each layer's candidate in the order
        of the chain.
      train: as `Supernet`.
      drop_skip: as `Supernet`.

    Returns:
      `[B, classes]` logits.
    """
    layers = self.plan.layers
    chex.assert_shape(index_l, (len(layers),))
    chex.assert_type(index_l, int)
    x = Stem(self.plan, name="stem")(images, train=train)
    for position, layer in enumerate(layers):
      x = IndexedLayer(layer, name=f"layer_{position + 1}")(
        x, index_l[position], train=train, drop_skip=drop_skip
      )
    return Head(self.plan, name="head")(x, train=train)


class DerivedNet(nn.Module):
  """Maps images to logits through one candidate a layer.

  Attributes:
    plan: channels and strides.
    ops: the candidate of each layer, in the order of the chain.
  """

  plan: Plan
  ops: tuple[str, ...]

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, channels]` to logits `[B, classes]`."""
    check_ops(self.ops, self.plan)
    x = Stem(self.plan, name="stem")(images, train=train)
    for index, (layer, op) in enumerate(
      zip(self.plan.layers, self.ops, strict=True), start=1
    ):
      x = DerivedLayer(layer, op, name=f"layer_{index}")(x, train=train)
    return Head(self.plan, name="head")(x, train=train)


def inherit(variables: Mapping[str, Any], ops: Sequence[str]) -> dict[str, Any]:
  """The supernet's variables that a derived network has.

  Args:
    variables: the supernet's collections.
    ops: the candidate of each layer.

  Returns:
    The derived network's collections, sharing their arrays.
  """

  def of_collection(collection: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: collection[name] for name in ("stem", "head")}
    for index, op in enumerate(ops, start=1):
      if op != SKIP:
        kept[f"layer_{index}"] = {op: collection[f"layer_{index}"][op]}
    return kept

  return {name: of_collection(part) for name, part in variables.items()}


def _block(name: str, layer: Layer) -> MBConv:
  kernel, expansion = BLOCKS[name]
  return MBConv(layer.features, kernel, expansion, layer.stride, name=name)


def _run_candidate(
  name: str,
  train: bool,
  drop_skip: Array | None,
  layer: IndexedLayer,
  x: Array,
) -> Array:
  if name == SKIP:
    return _skip(layer, x, drop_skip)
  return getattr(layer, name)(x, train=train)


def _skip(layer: nn.Module, x: Array, drop_skip: Array | None) -> Array:
  """The input, some of its elements dropped where there is a rate."""
  if drop_skip is None:
    return x
  return drops.drop_elements(layer.make_rng("drop_skip"), x, drop_skip)
