"""Depthwise convolution of stacked images, and its two transposes.

Target t of T is filtered from source t // (T / S) of S: one source for all
targets is a channel multiplier, S = T applies the stacked filters one to one.
The convolution is linear in each argument and so are its gradients with
respect to either: the three primitives are each other's transposes, which
gives derivatives of every order.

Each takes a gate of the shape of x as a last operand, or none. Where it is 0
or less, x counts as 0, and so the gradient of x is 0. A gate is not
differentiated: a ReLU before the convolution, which is x as its own gate, has
the right derivatives that way.
"""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import ad

from jnas.native import library, primitive
from jnas.types import Array

# Threads share out the kernel gradient of a source by blocks of images.
_MOST_IMAGE_BLOCKS = 32


def convolve(
  x: Array, kernel: Array, *gate: Array, stride: int, dilation: int
) -> Array:
  """`[S, B, H, W, C]` and `[T, k, k, C]` to `[T, B, H', W', C]`."""
  return _convolve_p.bind(x, kernel, *gate, stride=stride, dilation=dilation)


def output_size(size: int, *, stride: int) -> int:
  """Returns the length of an axis after a window whose padding centres it."""
  return -(-size // stride)


def _close(x: Array, gate: tuple[Array, ...]) -> Array:
  """Returns x with zeros where a gate, if there is one, holds it back."""
  # A NaN passes, as it does through a ReLU.
  return jnp.where(gate[0] <= 0, 0, x) if gate else x


# On accelerators: a grouped convolution, the stack merged into channels.


def _convolve_grouped(x, kernel, *gate, stride, dilation):
  sources, batch, height, width, channels = x.shape
  targets, taps = kernel.shape[:2]
  multiplier = targets // sources
  x = jnp.moveaxis(_close(x, gate), 0, 3)
  x = x.reshape(batch, height, width, sources * channels)
  kernel = kernel.reshape(sources, multiplier, taps, taps, channels)
  kernel = kernel.transpose(2, 3, 0, 4, 1)
  kernel = kernel.reshape(taps, taps, 1, targets * channels)
  y = lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    [(dilation * (taps // 2),) * 2] * 2,
    rhs_dilation=(dilation, dilation),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=sources * channels,
  )
  y = y.reshape(*y.shape[:3], sources, channels, multiplier)
  y = y.transpose(3, 5, 0, 1, 2, 4)
  return y.reshape(targets, *y.shape[2:])


def _input_gradient_grouped(kernel, g, *gate, stride, dilation, sources, size):
  x = jax.ShapeDtypeStruct((sources, g.shape[1], *size, g.shape[-1]), g.dtype)

  def forward(x):
    return _convolve_grouped(x, kernel, stride=stride, dilation=dilation)

  return _close(jax.linear_transpose(forward, x)(g)[0], gate)


def _kernel_gradient_grouped(x, g, *gate, stride, dilation, taps):
  shape = (g.shape[0], taps, taps, g.shape[-1])
  x = _close(x, gate)
  # cuDNN takes 15 to 35 times as long for this gradient where there are
  # dilated taps, so that they are brought side by side first.
  if stride % dilation == 0:
    x = x[:, :, ::dilation, ::dilation]
    stride, dilation = stride // dilation, 1
  elif stride == 1:
    x, g = (_split_phases(images, dilation) for images in (x, g))
    dilation = 1

  def forward(kernel):
    return _convolve_grouped(x, kernel, stride=stride, dilation=dilation)

  kernel = jax.ShapeDtypeStruct(shape, g.dtype)
  return jax.linear_transpose(forward, kernel)(g)[0]


def _split_phases(x: Array, count: int) -> Array:
  """Returns every count-th row and column as an image of its own.

  Args:
    x: `[S, B, H, W, C]`; rows and columns of zeros fill it up to a multiple.
    count: images along each axis.

  Returns:
    `[S, B * count * count, H / count, W / count, C]`, rounded up.
  """
  stack, batch, height, width, channels = x.shape
  rows, columns = (-(-size // count) for size in (height, width))
  ends = ((0, rows * count - height), (0, columns * count - width))
  x = jnp.pad(x, ((0, 0), (0, 0), *ends, (0, 0)))
  x = x.reshape(stack, batch, rows, count, columns, count, channels)
  x = x.transpose(0, 1, 3, 5, 2, 4, 6)
  return x.reshape(stack, -1, rows, columns, channels)


# On CPU without native kernels: shifted slices, because XLA runs a grouped
# convolution there 40 times slower.


def _convolve_slices(x, kernel, *gate, stride, dilation):
  sources, batch, height, width, channels = x.shape
  targets, taps = kernel.shape[:2]
  multiplier = targets // sources
  size = (
    output_size(height, stride=stride),
    output_size(width, stride=stride),
  )
  padding = dilation * (taps // 2)
  x = _close(x, gate)
  padded = _pad_images(_widen(x)[:, None], (padding, padding))
  shape = (sources, multiplier, taps, taps, 1, 1, 1, channels)
  kernel = _widen(kernel).reshape(shape)
  y = jnp.zeros((sources, multiplier, batch, *size, channels), padded.dtype)
  for i in range(taps):
    rows = _take_every(padded, i * dilation, stride, size[0], axis=3)
    for j in range(taps):
      window = _take_every(rows, j * dilation, stride, size[1], axis=4)
      y += window * kernel[:, :, i, j]
  return y.reshape(targets, *y.shape[2:]).astype(x.dtype)


def _input_gradient_slices(kernel, g, *gate, stride, dilation, sources, size):
  targets, batch, height, width, channels = g.shape
  multiplier = targets // sources
  taps = kernel.shape[1]
  reach = (taps - 1) * dilation
  low = reach - dilation * (taps // 2)
  # Gradients sit at every stride-th place of the padded input, zeros between.
  pads = [
    (low, full + reach - low - (1 + (short - 1) * stride), stride - 1)
    for full, short in zip(size, (height, width), strict=True)
  ]
  zero = (0, 0, 0)
  spread = lax.pad(
    _widen(g), jnp.zeros((), _widen(g).dtype), [zero, zero, *pads, zero]
  )
  spread = spread.reshape(sources, multiplier, *spread.shape[1:])
  shape = (sources, multiplier, taps, taps, 1, 1, 1, channels)
  kernel = _widen(kernel).reshape(shape)
  dx = jnp.zeros((*spread.shape[:3], *size, channels), spread.dtype)
  for i in range(taps):
    rows = _take_every(spread, reach - i * dilation, 1, size[0], axis=3)
    for j in range(taps):
      window = _take_every(rows, reach - j * dilation, 1, size[1], axis=4)
      dx += window * kernel[:, :, i, j]
  # Added one by one: XLA's loop for `dx.sum(1)` is 13 times slower on CPU.
  dx = functools.reduce(operator.add, [dx[:, m] for m in range(multiplier)])
  dx = dx.reshape(sources, batch, *size, channels).astype(g.dtype)
  return _close(dx, gate)


def _kernel_gradient_slices(x, g, *gate, stride, dilation, taps):
  sources = x.shape[0]
  targets, _, height, width, channels = g.shape
  padding = dilation * (taps // 2)
  padded = _pad_images(_widen(_close(x, gate)), (padding, padding))
  stacked = _widen(g).reshape(sources, targets // sources, *g.shape[1:])
  # diagonal[p, w, j] is 1 where output column w reads column p at tap j.
  columns = np.arange(padded.shape[3])[:, None, None]
  reads = (
    np.arange(width)[None, :, None] * stride
    + np.arange(taps)[None, None, :] * dilation
  )
  diagonal = jnp.asarray(columns == reads, stacked.dtype)
  span = (height - 1) * stride + 1

  def take_row(_, i):
    row = lax.dynamic_slice_in_dim(padded, i * dilation, span, axis=2)
    # One matrix product gives all pairs of columns, of which k diagonals are
    # wanted: faster on CPU than k reductions over the whole batch.
    pairs = jnp.einsum("sbhpc,smbhwc->smcpw", row[:, :, ::stride], stacked)
    return None, jnp.einsum("smcpw,pwj->smjc", pairs, diagonal)

  # A loop, because it compiles in half the time.
  _, rows = lax.scan(take_row, None, jnp.arange(taps))
  kernel = jnp.moveaxis(rows, 0, 2)
  return kernel.reshape(targets, taps, taps, channels).astype(g.dtype)


def _widen(x: Array) -> Array:
  """Returns x in the type its products are summed in: float32 at least."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _pad_images(x: Array, padding: tuple[int, int]) -> Array:
  widths = [(0, 0)] * (x.ndim - 3) + [padding, padding, (0, 0)]
  return jnp.pad(x, widths)


def _take_every(x: Array, start: int, stride: int, count: int, *, axis: int):
  """Returns `count` places of an axis, `stride` apart, from `start` on."""
  limit = start + (count - 1) * stride + 1
  return lax.slice_in_dim(x, start, limit, stride, axis)


# Native kernels.


def _convolve_native(x, kernel, *gate, mesh_axes, stride, dilation):
  del mesh_axes
  shape = _convolve_shapes(x, kernel, stride=stride, dilation=dilation).shape
  return library.call(
    "jnas_convolve",
    [(shape, x.dtype)],
    x,
    kernel,
    *gate,
    stride=stride,
    dilation=dilation,
  )[0]


def _input_gradient_native(
  kernel, g, *gate, mesh_axes, stride, dilation, sources, size
):
  del mesh_axes
  shape = (sources, g.shape[1], *size, g.shape[-1])
  return library.call(
    "jnas_input_gradient",
    [(shape, g.dtype)],
    kernel,
    g,
    *gate,
    stride=stride,
    dilation=dilation,
  )[0]


def _kernel_gradient_native(x, g, *gate, mesh_axes, stride, dilation, taps):
  shape = (g.shape[0], taps, taps, g.shape[-1])
  # One partial sum for each block of images, added in order: the result does
  # not depend on which thread is done first.
  blocks = min(g.shape[1], _MOST_IMAGE_BLOCKS)
  dk, _ = library.call(
    "jnas_kernel_gradient",
    [(shape, jnp.float32), ((blocks, *shape), jnp.float32)],
    x,
    g,
    *gate,
    stride=stride,
    dilation=dilation,
  )
  return lax.psum(dk, mesh_axes).astype(g.dtype)


# The primitives and their rules.


def _convolve_shapes(x, kernel, *gate, stride, dilation):
  del gate, dilation
  _, batch, height, width, channels = x.shape
  height = output_size(height, stride=stride)
  width = output_size(width, stride=stride)
  shape = (kernel.shape[0], batch, height, width, channels)
  return primitive.ShapedArray(shape, x.dtype)


def _input_gradient_shapes(kernel, g, *gate, stride, dilation, sources, size):
  del kernel, gate, stride, dilation
  shape = (sources, g.shape[1], *size, g.shape[-1])
  return primitive.ShapedArray(shape, g.dtype)


def _kernel_gradient_shapes(x, g, *gate, stride, dilation, taps):
  del x, gate, stride, dilation
  shape = (g.shape[0], taps, taps, g.shape[-1])
  return primitive.ShapedArray(shape, g.dtype)


_convolve_p = primitive.make(
  "depthwise_conv",
  _convolve_shapes,
  xla=_convolve_slices,
  accelerator=_convolve_grouped,
  native=primitive.Native(_convolve_native, (1, None, 1), (1,)),
)
_input_gradient_p = primitive.make(
  "depthwise_conv_input_gradient",
  _input_gradient_shapes,
  xla=_input_gradient_slices,
  accelerator=_input_gradient_grouped,
  native=primitive.Native(_input_gradient_native, (None, 1, 1), (1,)),
)
_kernel_gradient_p = primitive.make(
  "depthwise_conv_kernel_gradient",
  _kernel_gradient_shapes,
  xla=_kernel_gradient_slices,
  accelerator=_kernel_gradient_grouped,
  native=primitive.Native(_kernel_gradient_native, (1, 1, 1), (None,)),
)


def _input_gradient(x, kernel, g, *gate, **window):
  return _input_gradient_p.bind(
    kernel, g, *gate, sources=x.shape[0], size=tuple(x.shape[2:4]), **window
  )


def _kernel_gradient(x, kernel, g, *gate, **window):
  return _kernel_gradient_p.bind(x, g, *gate, taps=kernel.shape[1], **window)


def _transpose_convolve(ct, x, kernel, *gate, **window):
  if ad.is_undefined_primal(x):
    return _input_gradient(x.aval, kernel, ct, *gate, **window), None
  return None, _kernel_gradient(x, kernel.aval, ct, *gate, **window)


def _transpose_input_gradient(ct, kernel, g, *gate, sources, size, **window):
  del sources, size
  if ad.is_undefined_primal(kernel):
    return _kernel_gradient(ct, kernel.aval, g, *gate, **window), None
  return None, convolve(ct, kernel, *gate, **window)


def _transpose_kernel_gradient(ct, x, g, *gate, taps, **window):
  del taps
  if ad.is_undefined_primal(x):
    return _input_gradient(x.aval, ct, g, *gate, **window), None
  return None, convolve(x, ct, *gate, **window)


primitive.def_product(_convolve_p, _transpose_convolve)
primitive.def_product(_input_gradient_p, _transpose_input_gradient)
primitive.def_product(_kernel_gradient_p, _transpose_kernel_gradient)
