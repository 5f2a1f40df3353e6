"""Convolutional candidates: separable, dilated, dense, the 7x1-1x7 pair.

Source: DARTS, Sec. 3.1.1; EnTranNAS, Sec. 4.2, for dense ones and pairs;
SPEC 2.1 and 2.5. All start with a ReLU and have no bias.
"""

import functools

import flax.linen as nn
import jax

from jnas.ops import base
from jnas.types import Array


class SeparableConv(nn.Module):
  """ReLU, depthwise, 1x1, batch norm; applied twice, the stride first.

  Attributes:
    features: C.
    stride: 1 or 2.
    targets: T.
    settings: the network's.
    kernel: side of the depthwise kernels.
  """

  features: int
  stride: int
  targets: int
  settings: base.Settings
  kernel: int

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[S, B, H, W, C]` to `[T, B, H', W', C]`."""
    for index, stride in enumerate((self.stride, 1), start=1):
      x = base.separable_norm(
        base.Depthwise(
          self.targets,
          self.kernel,
          stride,
          relu=True,
          name=f"depthwise_{index}",
        ),
        base.Pointwise(self.targets, self.features, name=f"pointwise_{index}"),
        base.BatchNorm(self.settings.affine, name=f"norm_{index}"),
        x,
        train=train,
      )
    return x


class DilatedConv(nn.Module):
  """ReLU, depthwise with dilation 2, 1x1, batch norm.

  Attributes:
    features: C.
    stride: 1 or 2.
    targets: T.
    settings: the network's.
    kernel: side of the depthwise kernel.
  """

  features: int
  stride: int
  targets: int
  settings: base.Settings
  kernel: int

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[S, B, H, W, C]` to `[T, B, H', W', C]`."""
    return base.separable_norm(
      base.Depthwise(
        self.targets,
        self.kernel,
        self.stride,
        dilation=2,
        relu=True,
        name="depthwise",
      ),
      base.Pointwise(self.targets, self.features, name="pointwise"),
      base.BatchNorm(self.settings.affine, name="norm"),
      x,
      train=train,
    )


class DenseConv(nn.Module):
  """ReLU, kxk convolution, batch norm.

  Attributes:
    features: C.
    stride: 1 or 2.
    targets: T.
    settings: the network's.
    kernel: k.
  """

  features: int
  stride: int
  targets: int
  settings: base.Settings
  kernel: int

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[S, B, H, W, C]` to `[T, B, H', W', C]`."""
    x = base.Conv(
      self.targets,
      self.features,
      (self.kernel, self.kernel),
      (self.stride, self.stride),
      prepare=jax.nn.relu,
      name="conv",
    )(x)
    return base.BatchNorm(self.settings.affine, name="norm")(x, train=train)


class ConvPair(nn.Module):
  """ReLU, 1xk and kx1 convolutions, batch norm.

  Attributes:
    features: C.
    stride: 1 or 2, horizontal in the first convolution, vertical in the next.
    targets: T.
    settings: the network's.
    kernel: k.
  """

  features: int
  stride: int
  targets: int
  settings: base.Settings
  kernel: int

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[S, B, H, W, C]` to `[T, B, H', W', C]`."""
    x = base.Conv(
      self.targets,
      self.features,
      (1, self.kernel),
      (1, self.stride),
      prepare=jax.nn.relu,
      name="horizontal",
    )(x)
    x = base.Conv(
      self.targets,
      self.features,
      (self.kernel, 1),
      (self.stride, 1),
      name="vertical",
    )(x)
    return base.BatchNorm(self.settings.affine, name="norm")(x, train=train)


def _separable_cost(
  shape: base.Shape, stride: int, settings: base.Settings, *, kernel: int
) -> base.Cost:
  output = base.strided(shape, stride)
  half = _depthwise_pointwise(output, kernel).plus(
    base.norm_cost(output, settings)
  )
  return half.plus(half, base.relu_cost(shape), base.relu_cost(output))


def _dilated_cost(
  shape: base.Shape, stride: int, settings: base.Settings, *, kernel: int
) -> base.Cost:
  output = base.strided(shape, stride)
  return base.relu_cost(shape).plus(
    _depthwise_pointwise(output, kernel), base.norm_cost(output, settings)
  )


def _dense_cost(
  shape: base.Shape, stride: int, settings: base.Settings, *, kernel: int
) -> base.Cost:
  output = base.strided(shape, stride)
  return base.relu_cost(shape).plus(
    base.conv_cost(
      output, kernel=(kernel, kernel), fan_in_channels=shape.channels
    ),
    base.norm_cost(output, settings),
  )


def _pair_cost(
  shape: base.Shape, stride: int, settings: base.Settings, *, kernel: int
) -> base.Cost:
  output = base.strided(shape, stride)
  between = shape._replace(width=output.width)
  channels = shape.channels
  return base.relu_cost(shape).plus(
    base.conv_cost(between, kernel=(1, kernel), fan_in_channels=channels),
    base.conv_cost(output, kernel=(kernel, 1), fan_in_channels=channels),
    base.norm_cost(output, settings),
  )


def _depthwise_pointwise(output: base.Shape, kernel: int) -> base.Cost:
  depthwise = base.conv_cost(output, kernel=(kernel, kernel), fan_in_channels=1)
  return depthwise.plus(
    base.conv_cost(output, kernel=(1, 1), fan_in_channels=output.channels)
  )


def separable(kernel: int) -> base.Op:
  """`sep_conv_kxk`."""
  return base.Op(
    build=functools.partial(SeparableConv, kernel=kernel),
    cost=functools.partial(_separable_cost, kernel=kernel),
  )


def dilated(kernel: int) -> base.Op:
  """`dil_conv_kxk`."""
  return base.Op(
    build=functools.partial(DilatedConv, kernel=kernel),
    cost=functools.partial(_dilated_cost, kernel=kernel),
  )


def dense(kernel: int) -> base.Op:
  """`conv_kxk`, in NAS-Bench-201 `nor_conv_kxk`."""
  return base.Op(
    build=functools.partial(DenseConv, kernel=kernel),
    cost=functools.partial(_dense_cost, kernel=kernel),
  )


def pair(kernel: int) -> base.Op:
  """`conv_1xk_kx1`: 1xk followed by kx1; `conv_7x1_1x7` is the same."""
  return base.Op(
    build=functools.partial(ConvPair, kernel=kernel),
    cost=functools.partial(_pair_cost, kernel=kernel),
  )
