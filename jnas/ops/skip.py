"""Operations that do little: skip connection, none, noise.

Source: DARTS, Sec. 3.1.1; RobustDARTS S4 for the noise; SPEC 2.1.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnas.native import lowering
from jnas.ops import base
from jnas.types import Array


class FactorizedReduce(nn.Module):
  """Halves the resolution by two shifted 1x1 convolutions of stride 2.

  Attributes:
    features: output channels, even.
    targets: T.
    affine: whether the batch norm has a trained scale and shift.
  """

  features: int
  targets: int
  affine: bool

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[S, B, H, W, C]` to `[T, B, H/2, W/2, features]`.

    Raises:
      ValueError: if H or W is odd, or the number of features is.
    """
    height, width = x.shape[2:4]
    if height % 2 or width % 2:
      raise ValueError(
        f"cannot halve an image of {height}x{width}: height and width must be "
        "even wherever a reduction cell halves them"
      )
    if self.features % 2:
      raise ValueError(
        f"cannot split {self.features} channels into two halves: the number "
        "of channels must be even"
      )
    half = self.features // 2
    first, second = (
      base.Pointwise(self.targets, half, name=name)
      for name in ("conv_1", "conv_2")
    )
    if train:
      # The input is kept for the gradient, and nothing that is made of it.
      x = jax.checkpoint(_halve)(x, first.weights(x), second.weights(x))
    else:
      even, odd = _take_pixels(x)
      x = jnp.concatenate([first(even), second(odd)], axis=-1)
    return base.BatchNorm(self.affine, name="norm")(x, train=train)


def _halve(x: Array, first: Array, second: Array) -> Array:
  even, odd = _take_pixels(x)
  parts = (
    lowering.pointwise_conv(even, first),
    lowering.pointwise_conv(odd, second),
  )
  return jnp.concatenate(parts, axis=-1)


def _take_pixels(x: Array) -> tuple[Array, Array]:
  """What the convolutions read: the second, pixels that the first skips."""
  x = jax.nn.relu(x)
  return (
    lowering.take_every(x, (2, 2)),
    lowering.take_every(x, (2, 2), start=1),
  )


class Skip(nn.Module):
  """Identity, or a factorised reduction where the stride is 2.

  Attributes:
    features: C.
    stride: 1 or 2.
    targets: T.
    settings: the network's.
  """

  features: int
  stride: int
  targets: int
  settings: base.Settings

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[1, B, H, W, C]` to itself, or to `[T, B, H/2, W/2, C]`."""
    if self.stride == 1:
      return x
    return FactorizedReduce(
      self.features, self.targets, self.settings.affine, name="reduce"
    )(x, train=train)


class Zero(nn.Module):
  """Zeros of the output's shape.

  Attributes:
    features: C.
    stride: 1 or 2.
    targets: T.
    settings: the network's.
  """

  features: int
  stride: int
  targets: int
  settings: base.Settings

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[1, B, H, W, C]` to zeros `[1, B, H', W', C]`."""
    del train
    return jnp.zeros_like(x[:, :, :: self.stride, :: self.stride])


class Noise(nn.Module):
  """Standard normal noise, fresh at every call, blind to its input.

  Attributes:
    features: C.
    stride: 1 or 2.
    targets: T; each edge draws its own.
    settings: the network's.
  """

  features: int
  stride: int
  targets: int
  settings: base.Settings

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[1, B, H, W, C]` to noise `[T, B, H', W', C]`."""
    del train
    shape = x[0, :, :: self.stride, :: self.stride].shape
    key = self.make_rng("noise")
    return jax.random.normal(key, (self.targets, *shape), x.dtype)


def reduce_cost(
  shape: base.Shape, features: int, settings: base.Settings
) -> base.Cost:
  """Cost of `FactorizedReduce` to this number of features."""
  output = base.strided(shape, 2)._replace(channels=features)
  half = output._replace(channels=features // 2)
  conv = base.conv_cost(half, kernel=(1, 1), fan_in_channels=shape.channels)
  return base.relu_cost(shape).plus(
    conv, conv, base.norm_cost(output, settings)
  )


def _skip_cost(
  shape: base.Shape, stride: int, settings: base.Settings
) -> base.Cost:
  if stride == 1:
    return base.copy_cost(shape)
  return reduce_cost(shape, shape.channels, settings)


def _no_cost(
  shape: base.Shape, stride: int, settings: base.Settings
) -> base.Cost:
  del shape, stride, settings
  return base.Cost()


SKIP = base.Op(build=Skip, cost=_skip_cost, parametric=False, is_identity=True)
ZERO = base.Op(build=Zero, cost=_no_cost, parametric=False, is_zero=True)
NOISE = base.Op(build=Noise, cost=_no_cost, parametric=False)
