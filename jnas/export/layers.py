"""The layers of an exported network in plain Flax.

The sources of those that a network has are copied into its `network.py`, so
nothing here may use jnas. Each has the name of its twin in `jnas.ops` or
`jnas.nets`, and computes the same without the stack axis.
"""

import flax.linen as nn
import jax.numpy as jnp


def conv(features, kernel, stride=(1, 1), dilation=1, groups=1, name=None):
  """A convolution without bias whose padding centres its kernel."""
  return nn.Conv(
    features,
    kernel,
    stride,
    padding=[(dilation * (side // 2),) * 2 for side in kernel],
    kernel_dilation=dilation,
    feature_group_count=groups,
    use_bias=False,
    name=name,
  )


def norm(train, name, eps=1e-5):
  """A batch norm, by its running statistics unless it is being trained."""
  return nn.BatchNorm(
    use_running_average=not train, momentum=0.9, epsilon=eps, name=name
  )


def pool_windows(pool, x, stride, **options):
  """Pools 3x3 windows with a pixel of padding on every side."""
  return pool(x, (3, 3), (stride, stride), ((1, 1), (1, 1)), **options)


class CifarStem(nn.Module):
  """3x3 convolution and batch norm; keeps the resolution."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, channels]` to `[B, H, W, features]`."""
    x = conv(self.features, (3, 3), name="conv")(x)
    return norm(train, "norm")(x)


class ImageNetStem(nn.Module):
  """Three 3x3 convolutions of stride 2."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, channels]` to images of a 4th and an 8th of the size."""
    outputs = []
    widths = (self.features // 2, self.features, self.features)
    for index, width in enumerate(widths):
      if index:
        x = nn.relu(x)
      x = conv(width, (3, 3), (2, 2), name=f"conv_{index}")(x)
      x = norm(train, f"norm_{index}")(x)
      outputs.append(x)
    return outputs[1], outputs[2]


class ReLUConvNorm(nn.Module):
  """ReLU, 1x1 convolution, batch norm."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, C]` to `[B, H, W, features]`."""
    x = conv(self.features, (1, 1), name="conv")(nn.relu(x))
    return norm(train, "norm")(x)


class FactorizedReduce(nn.Module):
  """Halves the resolution by two shifted 1x1 convolutions of stride 2."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, C]` to `[B, H/2, W/2, features]`."""
    x = nn.relu(x)
    half = self.features // 2
    x = jnp.concatenate(
      [
        conv(half, (1, 1), (2, 2), name="conv_1")(x),
        conv(half, (1, 1), (2, 2), name="conv_2")(x[:, 1:, 1:]),
      ],
      axis=-1,
    )
    return norm(train, "norm")(x)


class SeparableConv(nn.Module):
  """ReLU, depthwise, 1x1, batch norm; applied twice, the stride first."""

  features: int
  kernel: int
  stride: int = 1

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, C]`."""
    c, sides = self.features, (self.kernel, self.kernel)
    for index, stride in ((1, self.stride), (2, 1)):
      x = conv(c, sides, (stride, stride), groups=c, name=f"depthwise_{index}")(
        nn.relu(x)
      )
      x = conv(c, (1, 1), name=f"pointwise_{index}")(x)
      x = norm(train, f"norm_{index}")(x)
    return x


class DilatedConv(nn.Module):
  """ReLU, depthwise with dilation 2, 1x1, batch norm."""

  features: int
  kernel: int
  stride: int = 1

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, C]`."""
    c, sides = self.features, (self.kernel, self.kernel)
    strides = (self.stride, self.stride)
    x = conv(c, sides, strides, dilation=2, groups=c, name="depthwise")(
      nn.relu(x)
    )
    x = conv(c, (1, 1), name="pointwise")(x)
    return norm(train, "norm")(x)


class DenseConv(nn.Module):
  """ReLU, kxk convolution, batch norm."""

  features: int
  kernel: int
  stride: int = 1

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, features]`."""
    sides, strides = (self.kernel, self.kernel), (self.stride, self.stride)
    x = conv(self.features, sides, strides, name="conv")(nn.relu(x))
    return norm(train, "norm")(x)


class ConvPair(nn.Module):
  """ReLU, 1xk and kx1 convolutions, batch norm."""

  features: int
  kernel: int
  stride: int = 1

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, features]`."""
    c, k, stride = self.features, self.kernel, self.stride
    x = conv(c, (1, k), (1, stride), name="horizontal")(nn.relu(x))
    x = conv(c, (k, 1), (stride, 1), name="vertical")(x)
    return norm(train, "norm")(x)


class MaxPool(nn.Module):
  """3x3 maximum; padding never wins. A batch norm where one was trained."""

  normalized: bool = False
  stride: int = 1

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, C]`."""
    x = pool_windows(nn.max_pool, x, self.stride)
    return norm(train, "norm")(x) if self.normalized else x


class AvgPool(nn.Module):
  """3x3 mean of the pixels inside the image, and such a batch norm."""

  normalized: bool = False
  stride: int = 1

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, C]`."""
    x = pool_windows(nn.avg_pool, x, self.stride, count_include_pad=False)
    return norm(train, "norm")(x) if self.normalized else x


class ResidualBlock(nn.Module):
  """Halves the resolution between two stages of NAS-Bench-201."""

  features: int

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, C]` to `[B, H/2, W/2, features]`."""
    y = x
    for index, stride in ((1, 2), (2, 1)):
      y = conv(self.features, (3, 3), (stride, stride), name=f"conv_{index}")(
        nn.relu(y)
      )
      y = norm(train, f"norm_{index}")(y)
    pooled = nn.avg_pool(x, (2, 2), (2, 2))
    return y + conv(self.features, (1, 1), name="shortcut")(pooled)


class BenchHead(nn.Module):
  """Batch norm, ReLU, global average, linear layer."""

  num_classes: int

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, C]` to logits `[B, num_classes]`."""
    x = nn.relu(norm(train, "norm")(x))
    return nn.Dense(self.num_classes, name="classifier")(x.mean((1, 2)))


class MBConv(nn.Module):
  """Mobile inverted residual block: expand, depthwise, project."""

  features: int
  kernel: int
  expansion: int
  stride: int

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, C]` to `[B, H / stride, W / stride, features]`."""
    y, width = x, self.expansion * x.shape[-1]
    sides, strides = (self.kernel, self.kernel), (self.stride, self.stride)
    if self.expansion > 1:
      y = conv(width, (1, 1), name="expand")(y)
      y = nn.relu6(norm(train, "expand_norm", 1e-3)(y))
    y = conv(width, sides, strides, groups=width, name="depthwise")(y)
    y = nn.relu6(norm(train, "depthwise_norm", 1e-3)(y))
    y = conv(self.features, (1, 1), name="project")(y)
    y = norm(train, "project_norm", 1e-3)(y)
    keeps = x.shape[-1] == self.features and self.stride == 1
    return x + y if keeps else y


class MBConvStem(nn.Module):
  """3x3 convolution and a block that does not expand."""

  features: int
  first: int
  stride: int

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, channels]` to `[B, H / stride, W / stride, first]`."""
    x = conv(self.features, (3, 3), (self.stride, self.stride), name="conv")(x)
    x = nn.relu6(norm(train, "norm", 1e-3)(x))
    return MBConv(self.first, 3, 1, 1, name="block")(x, train)


class MBConvHead(nn.Module):
  """1x1 convolution, global average, linear layer."""

  features: int
  num_classes: int

  @nn.compact
  def __call__(self, x, train):
    """Maps `[B, H, W, C]` to logits `[B, num_classes]`."""
    x = conv(self.features, (1, 1), name="conv")(x)
    x = nn.relu6(norm(train, "norm", 1e-3)(x))
    return nn.Dense(self.num_classes, name="classifier")(x.mean((1, 2)))
