"""What comes before and after the cells: stems, auxiliary head, classifier.

Source: DARTS, Sec. 3.2 and its public networks; SPEC 2.2 and 2.3.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnas.nets import macro
from jnas.ops import base, skip
from jnas.types import Array

AUXILIARY_FEATURES = (128, 768)
# The auxiliary head pools 5x5 windows at this stride and then needs 2x2.
_POOL = 5
_POOL_STRIDE = {"cifar": 3, "imagenet": 2}


class ReLUConvNorm(nn.Module):
  """ReLU, 1x1 convolution, batch norm: brings a cell's input to C channels."""

  features: int
  affine: bool

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, Cin]` to `[B, H, W, features]`."""
    conv = base.Pointwise(1, self.features, jax.nn.relu, name="conv")
    norm = base.BatchNorm(self.affine, name="norm")
    return norm(conv(x[None]), train=train)[0]


class ReduceInput(nn.Module):
  """Factorised reduction of a cell's input to C channels."""

  features: int
  affine: bool

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, Cin]` to `[B, H/2, W/2, features]`."""
    return skip.FactorizedReduce(self.features, 1, self.affine, name="reduce")(
      x[None], train=train
    )[0]


class Stem(nn.Module):
  """Images to the inputs of the first cell.

  Attributes:
    kind: "cifar" keeps the resolution, "imagenet" divides it by 4 and 8.
    features: C of the first cell.
  """

  kind: macro.Stem
  features: int

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> tuple[Array, Array]:
    """Maps `[B, H, W, channels]` to the first cell's two inputs."""
    x = images[None]
    if self.kind == "cifar":
      features = macro.STEM_MULTIPLIER * self.features
      x = base.Conv(1, features, (3, 3), name="conv")(x)
      x = base.BatchNorm(True, name="norm")(x, train=train)
      return x[0], x[0]
    widths = (self.features // 2, self.features, self.features)
    outputs = []
    for index, width in enumerate(widths):
      if index:
        x = jax.nn.relu(x)
      x = base.Conv(1, width, (3, 3), (2, 2), name=f"conv_{index}")(x)
      x = base.BatchNorm(True, name=f"norm_{index}")(x, train=train)
      outputs.append(x[0])
    return outputs[1], outputs[2]


class AuxiliaryHead(nn.Module):
  """A second classifier half-way, used in training only.

  Source: SPEC 2.2; on ImageNet the second batch norm is left out (D40).

  Attributes:
    kind: the stem's kind.
    num_classes: outputs.
  """

  kind: macro.Stem
  num_classes: int

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, C]` to logits `[B, num_classes]`."""
    stride = _POOL_STRIDE[self.kind]
    x = nn.avg_pool(jax.nn.relu(x), (_POOL, _POOL), strides=(stride, stride))[
      None
    ]
    x = base.Pointwise(1, AUXILIARY_FEATURES[0], name="conv_1")(x)
    x = jax.nn.relu(base.BatchNorm(True, name="norm_1")(x, train=train))[0]
    # A 2x2 convolution of a 2x2 image is a linear layer over its pixels.
    x = x.reshape(x.shape[0], -1)
    kernel = self.param(
      "conv_2",
      base.torch_uniform(x.shape[-1]),
      (x.shape[-1], AUXILIARY_FEATURES[1]),
    )
    x = (x @ kernel.astype(x.dtype))[None, :, None, None]
    if self.kind == "cifar":
      x = base.BatchNorm(True, name="norm_2")(x, train=train)
    return Classifier(self.num_classes, name="classifier")(
      jax.nn.relu(x)[0, :, 0, 0]
    )


class Classifier(nn.Module):
  """Linear layer with bias, initialised as in PyTorch."""

  num_classes: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[B, C]` to logits `[B, num_classes]`, float32 at least."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    init = base.torch_uniform(x.shape[-1])
    kernel = self.param("kernel", init, (x.shape[-1], self.num_classes))
    bias = self.param("bias", init, (self.num_classes,))
    return x @ kernel.astype(x.dtype) + bias.astype(x.dtype)[None]


def check_auxiliary(height: int, width: int, stem: macro.Stem) -> None:
  """Refuses images too small or too large for the auxiliary head.

  Raises:
    ValueError: unless the head's pool gives 2x2 pixels.
  """
  divisor = macro.STEM_STRIDE[stem] * 4
  for size in (height, width):
    pooled = (size // divisor - _POOL) // _POOL_STRIDE[stem] + 1
    if pooled != 2:
      raise ValueError(
        f"images of {height}x{width}: the auxiliary head needs 32x32 with the "
        "cifar stem and 224x224 with the imagenet stem (2x2 pixels after its "
        "pool); set evaluate.auxiliary_weight 0"
      )


def global_average(x: Array) -> Array:
  """`[B, H, W, C]` to `[B, C]`, float32 at least."""
  wide = jnp.promote_types(x.dtype, jnp.float32)
  return jnp.mean(x, axis=(1, 2), dtype=wide)
