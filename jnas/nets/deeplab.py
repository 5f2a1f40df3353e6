"""The head of DeepLabV3: context at several rates, then a class a pixel.

Source: DeepLabV3 (arXiv:1706.05587), Sec. 3.3: atrous spatial pyramid pooling
with image-level features, all with batch norm; separable convolutions as in
DeepLabV3+ (arXiv:1802.02611), Sec. 3.1.
"""

from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jnas.nets import heads
from jnas.ops import base
from jnas.types import Array

# The stride at which the rates are as they are given.
BASE_STRIDE = 16


class Settings(NamedTuple):
  """What a head is.

  Attributes:
    num_classes: outputs of each pixel.
    features: channels of each branch, 256 in the paper.
    rates: of the 3x3 convolutions at output stride 16, 6, 12 and 18 in the
      paper; doubled at 8.
    output_stride: of the features that the head reads, 8 or 16.
    separable: whether the 3x3 convolutions are depthwise and 1x1 ones.
    dropout: share of the projected features that is dropped in training.
  """

  num_classes: int
  features: int
  rates: tuple[int, ...]
  output_stride: int
  separable: bool
  dropout: float


class ConvNorm(nn.Module):
  """Convolution, batch norm, ReLU.

  Attributes:
    features: output channels.
    rate: distance of a 3x3 kernel's taps; 0 for a 1x1 kernel.
    separable: whether a 3x3 kernel is a depthwise one, with a batch norm and
      a ReLU of its own, and a 1x1 kernel.
  """

  features: int
  rate: int = 0
  separable: bool = False

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[1, B, H, W, C]` to `[1, B, H, W, features]`."""
    if self.rate and self.separable:
      x = base.Depthwise(1, 3, dilation=self.rate, name="depthwise")(x)
      x = base.BatchNorm(True, name="depthwise_norm")(x, train=train)
      x = jax.nn.relu(x)
    if self.rate and not self.separable:
      x = base.Conv(1, self.features, (3, 3), dilation=self.rate, name="conv")(
        x
      )
    else:
      x = base.Pointwise(1, self.features, name="conv")(x)
    return jax.nn.relu(base.BatchNorm(True, name="norm")(x, train=train))


class Head(nn.Module):
  """Features of a backbone to a class for every pixel of the image.

  Choice: dropout behind the projection and a bilinear enlargement whose pixels
  have their centres at halves, both of which the paper leaves open.

  Attributes:
    settings: of the head.
  """

  settings: Settings

  @nn.compact
  def __call__(self, x: Array, size: tuple[int, int], *, train: bool) -> Array:
    """Runs the head.

    Args:
      x: `[B, h, w, C]`.
      size: height and width of the image.
      train: whether batch norms use the batch's statistics and features are
        dropped, by the stream `dropout`.

    Returns:
      `[B, H, W, classes]` float32 logits.
    """
    chex.assert_rank(x, 4)
    settings = self.settings
    scale = BASE_STRIDE // settings.output_stride
    pixels = x[None]
    branches = [ConvNorm(settings.features, name="pixel")(pixels, train=train)]
    for index, rate in enumerate(settings.rates):
      branch = ConvNorm(
        settings.features,
        rate=scale * rate,
        separable=settings.separable,
        name=f"atrous_{index}",
      )
      branches.append(branch(pixels, train=train))
    image = heads.global_average(x)[None, :, None, None]
    image = ConvNorm(settings.features, name="image")(image, train=train)
    branches.append(jnp.broadcast_to(image, branches[0].shape))
    y = jnp.concatenate(branches, axis=-1)
    y = ConvNorm(settings.features, name="project")(y, train=train)[0]
    y = nn.Dropout(settings.dropout, deterministic=not train)(y)
    classifier = heads.Classifier(settings.num_classes, name="classifier")
    logits = classifier(y.reshape(-1, settings.features))
    return enlarge(logits.reshape(*y.shape[:3], -1), size)


def enlarge(logits: Array, size: tuple[int, int]) -> Array:
  """`[B, h, w, K]` to `[B, H, W, K]` float32, bilinear."""
  batch, _, _, classes = logits.shape
  return jax.image.resize(
    logits.astype(jnp.float32), (batch, *size, classes), "bilinear"
  )
