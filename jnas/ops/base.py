"""What an operation owes, and the layers operations are made of.

An operation runs once for each *source* node of a cell and serves all edges
that leave it: it maps `[S, B, H, W, C]` to `[T, B, H', W', C]`, where T is the
number of edges and S is 1 (one source, shared) or T. Its parameters carry the
same leading axis T. An operation without parameters may answer with a leading
axis of 1, which then serves every edge.

Source: SPEC 2.1; DESIGN.md, section 4, "batch by source node".
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnas.native import lowering
from jnas.ops import draws
from jnas.types import Array, PRNGKey

BATCH_NORM_EPS = 1e-5
# PyTorch's momentum 0.1 is the weight of the new value, Flax's of the old one.
BATCH_NORM_MOMENTUM = 0.9


class Settings(NamedTuple):
  """What every operation of a network has in common.

  Attributes:
    affine: whether batch norms have a trained scale and shift (derived nets).
    pool_norm: whether pools are followed by a batch norm (supernets).
  """

  affine: bool
  pool_norm: bool


class Cost(NamedTuple):
  """Static cost of one application to one image.

  Source: SPEC 2.10; SNAS, Sec. 2.4 for the memory accesses.

  Attributes:
    params: trained numbers.
    madds: multiply-adds of convolutions and linear layers.
    norm_elements: outputs of batch norms.
    relu_elements: outputs of ReLUs.
    pool_additions: additions or comparisons of pools, which `madds` leaves
      out.
    accesses: numbers that convolutions, pools and skip connections read and
      write: input, output and kernel.
  """

  params: int = 0
  madds: int = 0
  norm_elements: int = 0
  relu_elements: int = 0
  pool_additions: int = 0
  accesses: int = 0

  def plus(self, *others: "Cost") -> "Cost":
    """The costs of several things together."""
    return Cost(*(sum(values) for values in zip(self, *others, strict=True)))

  @property
  def madds_ext(self) -> int:
    """Multiply-adds as P-DARTS and PC-DARTS report them."""
    return self.madds + 2 * self.norm_elements + self.relu_elements


class Shape(NamedTuple):
  """Height, width and channels of an operation's input."""

  height: int
  width: int
  channels: int


class Op(NamedTuple):
  """A candidate operation that keeps the number of channels.

  Attributes:
    build: `(features, stride, targets, settings, **own) -> nn.Module`, all by
      name, `own` what Flax gives a module, name and parent, if anything; its
      call maps `(x [S, B, H, W, C], train=bool)` to `[T or 1, B, H', W', C]`
      with H' = H / stride.
    cost: `(input shape, stride, settings) -> Cost` of one edge.
    parametric: whether it has weights to train at stride 1; a derived cell
      without any such operation is a warning sign.
    is_identity: whether, at stride 1, the output is the input; drop-path
      leaves it alone.
    is_zero: whether it contributes nothing and need not run.
  """

  build: Callable[..., nn.Module]
  cost: Callable[[Shape, int, Settings], Cost]
  parametric: bool = True
  is_identity: bool = False
  is_zero: bool = False


def torch_uniform(fan_in: int) -> Callable[..., Array]:
  """Initialiser uniform in +-1/sqrt(fan_in), PyTorch's default.

  Source: SPEC 3.0.
  """
  limit = fan_in**-0.5

  def init(key: PRNGKey, shape: Sequence[int], dtype: Any = jnp.float32):
    return limit * draws.uniform(key, tuple(shape), dtype)

  return init


def _kernel(module: nn.Module, fan_in: int, shape: Sequence[int]) -> Array:
  """A module's parameter "kernel", drawn where it is not given.

  `module.param` would trace a draw for the shape of each that is given: a
  quarter of the time it takes to trace a supernet.
  """
  if not module.has_variable("params", "kernel"):
    return module.param("kernel", torch_uniform(fan_in), shape)
  kernel = module.get_variable("params", "kernel")
  if kernel.shape != tuple(shape):
    raise ValueError(
      f"{'/'.join(module.path)}/kernel has shape {kernel.shape}; this network "
      f"needs {tuple(shape)}"
    )
  return kernel


class Depthwise(nn.Module):
  """Depthwise convolution, one kernel for each target, no bias.

  Attributes:
    targets: T.
    kernel: odd side of the kernel.
    stride: 1 or 2.
    dilation: 1 or 2.
    relu: whether the input passes a ReLU first, which is never stored.
  """

  targets: int
  kernel: int
  stride: int = 1
  dilation: int = 1
  relu: bool = False

  def __call__(self, x: Array) -> Array:
    """Maps `[S, B, H, W, C]` to `[T, B, H', W', C]`."""
    return lowering.depthwise_conv(
      x,
      self.weights(x),
      stride=self.stride,
      dilation=self.dilation,
      relu=self.relu,
    )

  @nn.compact
  def weights(self, x: Array) -> Array:
    """The kernels for images like x, `[T, k, k, C]`."""
    shape = (self.targets, self.kernel, self.kernel, x.shape[-1])
    kernel = _kernel(self, self.kernel**2, shape)
    return kernel.astype(x.dtype)


# What is done to a convolution's input first, a ReLU, say: a pure function. It
# is done again for the gradient: the input is kept, not what becomes of it.
Prepare = Callable[[Array], Array]


class Pointwise(nn.Module):
  """1x1 convolution, one kernel for each target, no bias.

  Attributes:
    targets: T.
    features: output channels.
    prepare: done to the input first; leaves the number of channels.
  """

  targets: int
  features: int
  prepare: Prepare | None = None

  def __call__(self, x: Array) -> Array:
    """Maps `[S, B, H, W, Cin]` to `[T, B, H, W, features]`.

    H and W of the result are those that `prepare` leaves.
    """
    return _convolve(lowering.pointwise_conv, self.prepare, x, self.weights(x))

  @nn.compact
  def weights(self, x: Array) -> Array:
    """The kernels for images like x, `[T, Cin, features]`."""
    shape = (self.targets, x.shape[-1], self.features)
    kernel = _kernel(self, x.shape[-1], shape)
    return kernel.astype(x.dtype)


def _convolve(
  convolution: Callable[[Array, Array], Array],
  prepare: Prepare | None,
  x: Array,
  kernel: Array,
) -> Array:
  """The convolution of what `prepare`, if there is one, makes of x."""
  if prepare is None:
    return convolution(x, kernel)
  run = jax.checkpoint(lambda x, kernel: convolution(prepare(x), kernel))
  return run(x, kernel)


class Conv(nn.Module):
  """Dense convolution, one kernel for each target, no bias.

  Attributes:
    targets: T.
    features: output channels.
    kernel: (height, width) of the kernel, each odd.
    strides: (vertical, horizontal).
    dilation: distance of the kernel's taps.
    prepare: done to the input first; leaves the number of channels.
  """

  targets: int
  features: int
  kernel: tuple[int, int]
  strides: tuple[int, int] = (1, 1)
  dilation: int = 1
  prepare: Prepare | None = None

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps `[S, B, H, W, Cin]` to `[T, B, H', W', features]`."""
    height, width = self.kernel
    shape = (self.targets, height, width, x.shape[-1], self.features)
    fan_in = height * width * x.shape[-1]
    kernel = _kernel(self, fan_in, shape)
    convolution = functools.partial(
      lowering.dense_conv, strides=self.strides, dilation=self.dilation
    )
    return _convolve(convolution, self.prepare, x, kernel.astype(x.dtype))


class BatchNorm(nn.Module):
  """Batch norm over examples and pixels, separate for each target.

  In training mode the statistics of the (global) batch are used; the running
  ones move only where the caller makes `batch_stats` mutable.

  Source: SPEC 2.1, "BatchNorm flags".
  Choice: the running variance is the biased one, as in Flax; PyTorch's is
  larger by n / (n - 1).

  Attributes:
    affine: whether a scale and a shift are trained.
    eps: added to the variance.
  """

  affine: bool
  eps: float = BATCH_NORM_EPS

  def __call__(self, x: Array, *, train: bool) -> Array:
    """Normalises `[T, B, H, W, C]`."""
    normalize = lowering.normalize if train else _normalize_by_running
    return self.run((x.shape[0], x.shape[-1]), functools.partial(normalize, x))

  @nn.compact
  def run(
    self,
    shape: tuple[int, int],
    normalize: Callable[..., tuple[Array, Array, Array]],
  ) -> Array:
    """Normalises what only `normalize` knows.

    Args:
      shape: (T, C).
      normalize: maps the running mean and variance, and `eps` and `momentum`,
        to the normalised images and the moved mean and variance.
    """
    mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
    var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
    y, moved_mean, moved_var = normalize(
      mean.value, var.value, eps=self.eps, momentum=BATCH_NORM_MOMENTUM
    )
    moving = self.is_mutable_collection("batch_stats")
    if moving and not self.is_initializing():
      mean.value, var.value = moved_mean, moved_var
    if self.affine:
      scale = self.param("scale", nn.initializers.ones, shape)
      bias = self.param("bias", nn.initializers.zeros, shape)
      y = y * _per_channel(scale.astype(y.dtype))
      y = y + _per_channel(bias.astype(y.dtype))
    return y


def separable_norm(
  depthwise: Depthwise,
  pointwise: Pointwise,
  norm: BatchNorm,
  x: Array,
  *,
  train: bool,
) -> Array:
  """Applies the three in turn, in training as one operation.

  Args:
    depthwise: with a ReLU.
    pointwise: like the others a submodule of the caller.
    norm: the last.
    x: `[S, B, H, W, C]`.
    train: whether the batch's statistics are used.

  Returns:
    `[T, B, H', W', D]`.
  """
  if not (train and depthwise.relu):
    return norm(pointwise(depthwise(x)), train=train)
  kernel, matrix = depthwise.weights(x), pointwise.weights(x)
  normalize = functools.partial(
    lowering.separable_norm,
    x,
    kernel,
    matrix,
    stride=depthwise.stride,
    dilation=depthwise.dilation,
  )
  return norm.run((pointwise.targets, pointwise.features), normalize)


def _normalize_by_running(
  x: Array, mean: Array, var: Array, *, eps: float, momentum: float
) -> tuple[Array, Array, Array]:
  """Normalises by the running statistics, which stay."""
  del momentum
  scale = jax.lax.rsqrt(var + eps).astype(x.dtype)
  centred = x - _per_channel(mean.astype(x.dtype))
  return centred * _per_channel(scale), mean, var


def _per_channel(values: Array) -> Array:
  """`[T, C]` to `[T, 1, 1, 1, C]`."""
  return values[:, None, None, None, :]


def norm_cost(shape: Shape, settings: Settings) -> Cost:
  """Cost of a batch norm on a tensor of this shape."""
  elements = shape.height * shape.width * shape.channels
  params = 2 * shape.channels if settings.affine else 0
  return Cost(params=params, norm_elements=elements)


def relu_cost(shape: Shape) -> Cost:
  """Cost of a ReLU on a tensor of this shape."""
  return Cost(relu_elements=shape.height * shape.width * shape.channels)


def conv_cost(
  output: Shape, *, kernel: tuple[int, int], fan_in_channels: int
) -> Cost:
  """Cost of a convolution without bias.

  Source: SNAS, Sec. 2.4: `HW(I + O) + f k I O / g` memory accesses, H and W
  those of the output.

  Args:
    output: its output's shape.
    kernel: (height, width).
    fan_in_channels: input channels that one output channel sees; 1 if
      depthwise.
  """
  params = kernel[0] * kernel[1] * fan_in_channels * output.channels
  pixels = output.height * output.width
  # A depthwise convolution reads as many channels as it writes.
  read = output.channels if fan_in_channels == 1 else fan_in_channels
  return Cost(
    params=params,
    madds=params * pixels,
    accesses=pixels * (read + output.channels) + params,
  )


def copy_cost(output: Shape) -> Cost:
  """Cost of reading and writing a tensor of this shape."""
  return Cost(accesses=2 * output.height * output.width * output.channels)


def strided(shape: Shape, stride: int) -> Shape:
  """Shape after a stride, with the channels kept."""
  return Shape(shape.height // stride, shape.width // stride, shape.channels)
