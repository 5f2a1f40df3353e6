"""Operations of a cell that XLA has no fast code for on CPU.

Each is differentiable any number of times, forwards and backwards, and works
under `jit`, `vmap`, `jax.checkpoint` and with the batch sharded over devices.
Which code computes them is decided when a program is compiled: native kernels
on CPU where they were built, XLA where not and on other platforms; there a
depthwise convolution is a grouped one, without kernels a sum of shifted slices.
"""

from collections.abc import Sequence

import chex
from jax import lax

from jnas.native import (
  dense,
  depthwise,
  library,
  mixing,
  normalization,
  pooling,
  separable,
)
from jnas.types import Array


def depthwise_conv(
  x: Array, kernel: Array, *, stride: int, dilation: int, relu: bool = False
) -> Array:
  """Convolves each channel of each image with filters of its own.

  The padding, `dilation * (k // 2)` on every side, centres the filter.

  Args:
    x: `[S, B, H, W, C]` images; S = 1, one input that all T targets share, or
      S = T, one for each. Any S that divides T is taken: target t reads
      source `t // (T // S)`.
    kernel: `[T, k, k, C]` with k odd, of the type of x.
    stride: at least 1, of both axes.
    dilation: at least 1, of both axes.
    relu: whether x passes a ReLU first, which is then never stored.

  Returns:
    `[T, B, ceil(H / stride), ceil(W / stride), C]`.
  """
  chex.assert_rank([x, kernel], [5, 4])
  chex.assert_type([x, kernel], float)
  _check_window(stride=stride, dilation=dilation)
  targets, *taps, channels = kernel.shape
  if taps[0] != taps[1] or taps[0] % 2 == 0:
    raise ValueError(f"kernel is {taps[0]}x{taps[1]}; use a square of odd size")
  _check_kernel(x, kernel, channels=channels)
  if not x.shape[0] or targets % x.shape[0]:
    raise ValueError(
      f"kernel has {targets} targets; use a multiple of the {x.shape[0]} inputs"
    )
  gate = (x,) if relu else ()
  return depthwise.convolve(x, kernel, *gate, stride=stride, dilation=dilation)


def dense_conv(
  x: Array, kernel: Array, *, strides: tuple[int, int], dilation: int
) -> Array:
  """Convolves all channels of each image with each filter.

  The padding, `dilation * (k // 2)` on both ends of an axis, centres the
  filter.

  Args:
    x: `[S, B, H, W, C]` images, S = 1 or S = T.
    kernel: `[T, h, w, C, D]` with h and w odd, of the type of x.
    strides: vertical and horizontal, each at least 1.
    dilation: at least 1, of both axes.

  Returns:
    `[T, B, ceil(H / strides[0]), ceil(W / strides[1]), D]`.

  Raises:
    ValueError: shapes, types or settings that do not fit.
  """
  chex.assert_rank([x, kernel], [5, 5])
  chex.assert_type([x, kernel], float)
  _check_window(stride=min(strides), dilation=dilation)
  targets, *taps, channels, _ = kernel.shape
  if not all(side % 2 for side in taps):
    raise ValueError(f"kernel is {taps[0]}x{taps[1]}; use odd sides")
  _check_kernel(x, kernel, channels=channels)
  if x.shape[0] not in (1, targets):
    raise ValueError(
      f"kernel has {targets} targets and there are {x.shape[0]} inputs; use 1 "
      f"or {targets}"
    )
  vertical, horizontal = strides
  if tuple(taps) == (1, 1):
    x = take_every(x, (vertical, horizontal))
    return pointwise_conv(x, kernel[:, 0, 0])
  return dense.convolve(
    x, kernel, strides=(vertical, horizontal), dilation=dilation
  )


def take_every(x: Array, strides: tuple[int, int], *, start: int = 0) -> Array:
  """Leaves pixels out, for a matrix product.

  XLA for GPUs, up to 0.11.2 at least, may abort when it computes such a slice
  of an elementwise function within the product; so it is kept out of it.

  Args:
    x: `[S, B, H, W, C]` images.
    strides: vertical and horizontal distance of those that are taken.
    start: the first row and column that are taken.

  Returns:
    `[S, B, H', W', C]`.
  """
  vertical, horizontal = strides
  if (vertical, horizontal, start) == (1, 1, 0):
    return x
  return lax.optimization_barrier(x[:, :, start::vertical, start::horizontal])


def max_pool(x: Array, *, stride: int) -> Array:
  """Takes the maximum of 3x3 windows; padding never wins.

  The gradient goes to the first maximum of a window in row-major order.

  Args:
    x: `[B, H, W, C]` images.
    stride: at least 1, of both axes.

  Returns:
    `[B, ceil(H / stride), ceil(W / stride), C]`.
  """
  chex.assert_rank(x, 4)
  chex.assert_type(x, float)
  _check_window(stride=stride, dilation=1)
  return pooling.max_pool(x, stride=stride)


def avg_pool(x: Array, *, stride: int) -> Array:
  """Averages 3x3 windows over the cells that lie inside the image.

  Args:
    x: `[B, H, W, C]` images.
    stride: at least 1, of both axes.

  Returns:
    `[B, ceil(H / stride), ceil(W / stride), C]`.
  """
  chex.assert_rank(x, 4)
  chex.assert_type(x, float)
  _check_window(stride=stride, dilation=1)
  return pooling.avg_pool(x, stride=stride)


def normalize(
  x: Array,
  running_mean: Array,
  running_var: Array,
  *,
  eps: float,
  momentum: float,
) -> tuple[Array, Array, Array]:
  """Normalises each channel over the batch and the image, without affine.

  With the batch sharded, the statistics are those of the global batch. No
  gradient passes through the running ones, whether given or moved.

  Args:
    x: `[S, B, H, W, C]` images, each of the S stacked ones apart.
    running_mean: `[S, C]`.
    running_var: `[S, C]`.
    eps: added to the variance, positive.
    momentum: in [0, 1], the weight of the running statistics against the
      batch's mean and biased variance when they move.

  Returns:
    y, like x; the moved mean and variance, like the running ones.
  """
  chex.assert_rank([x, running_mean, running_var], [5, 2, 2])
  chex.assert_type([x, running_mean, running_var], float)
  chex.assert_shape([running_mean, running_var], (x.shape[0], x.shape[-1]))
  return normalization.normalize(
    x, running_mean, running_var, eps=float(eps), momentum=float(momentum)
  )


def pointwise_conv(x: Array, matrix: Array) -> Array:
  """Convolves with a 1x1 filter.

  Args:
    x: `[S, B, H, W, C]` images, S = 1 or S = T.
    matrix: `[T, C, D]`, of the type of x.

  Returns:
    `[T, B, H, W, D]`.
  """
  chex.assert_rank([x, matrix], [5, 3])
  return separable.multiply(x, matrix)


def separable_norm(
  x: Array,
  kernel: Array,
  matrix: Array,
  running_mean: Array,
  running_var: Array,
  *,
  stride: int,
  dilation: int,
  eps: float,
  momentum: float,
) -> tuple[Array, Array, Array]:
  """ReLU, `depthwise_conv`, `pointwise_conv` and `normalize` in one.

  Nothing between them is stored, on CPU with native kernels; the gradient
  computes it again.

  Args:
    x: `[S, B, H, W, C]` images, S = 1 or S = T.
    kernel: `[T, k, k, C]` with k odd, of the type of x.
    matrix: `[T, C, D]`, of the type of x.
    running_mean: `[T, D]`.
    running_var: `[T, D]`.
    stride: at least 1, of both axes.
    dilation: at least 1, of both axes.
    eps: added to the variance, positive.
    momentum: in [0, 1], as for `normalize`.

  Returns:
    y, `[T, B, ceil(H / stride), ceil(W / stride), D]`; the moved mean and
    variance, like the running ones.
  """
  chex.assert_rank([x, kernel, matrix], [5, 4, 3])
  chex.assert_type([x, kernel, matrix], float)
  chex.assert_shape(matrix, (*kernel.shape[::3], None))
  chex.assert_shape([running_mean, running_var], matrix.shape[::2])
  _check_window(stride=stride, dilation=dilation)
  return separable.separate(
    x,
    kernel,
    matrix,
    running_mean,
    running_var,
    stride=stride,
    dilation=dilation,
    eps=float(eps),
    momentum=float(momentum),
  )


def mix(
  weights: Array, terms: Sequence[Array], added: Sequence[Array] = ()
) -> list[Array]:
  """Adds stacks up, each of its T pieces weighted.

  Args:
    weights: `[N, T]`, or `[N, T, B]` where each image has its own.
    terms: N stacks `[T, B, H, W, C]`, or `[1, B, H, W, C]` for one that all
      targets share; all of one type, in whose product sums are float32 at
      least.
    added: nothing, or T arrays `[B, H, W, C]` of that type.

  Returns:
    T arrays `[B, H, W, C]`: the sum over n of `weights[n, t] * terms[n][t]`,
    and `added[t]`.
  """
  chex.assert_rank(weights, {2, 3})
  chex.assert_rank([*terms, *added], [5] * len(terms) + [4] * len(added))
  chex.assert_type([*terms, *added], terms[0].dtype)
  num_targets, image = weights.shape[1], terms[0].shape[1:]
  if len(weights) != len(terms) or len(added) not in (0, num_targets):
    raise ValueError(
      f"weights are {weights.shape}, for {len(terms)} terms and {len(added)} "
      "totals; use one row for each term and one column for each total"
    )
  chex.assert_shape([*added], image)
  for term in terms:
    chex.assert_shape(term, ({1, num_targets}, *image))
  weights = weights.astype(mixing.weights_type(terms[0]))
  if weights.ndim == 2:
    weights = weights[:, :, None]
  return mixing.mix(weights, terms, added)


def describe() -> str:
  """Returns which code computes these operations on CPU, and why."""
  status = library.load()
  if status.is_loaded:
    return f"native CPU kernels ({status.reason})"
  return f"pure XLA ({status.reason})"


def _check_kernel(x: Array, kernel: Array, *, channels: int) -> None:
  """Raises ValueError for other channels or another type than x has."""
  if channels != x.shape[-1]:
    raise ValueError(
      f"kernel has {channels} channels; the input has {x.shape[-1]}"
    )
  if x.dtype != kernel.dtype:
    raise ValueError(
      f"kernel is {kernel.dtype}; use the type of the input, {x.dtype}"
    )


def _check_window(*, stride: int, dilation: int) -> None:
  if stride < 1 or dilation < 1:
    raise ValueError(
      f"stride {stride} and dilation {dilation}: both are at least 1"
    )
