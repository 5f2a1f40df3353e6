"""Dense convolution of stacked images, and its two transposes.

Target t of T is filtered from source t // (T / S) of S. As in `depthwise`, the
three primitives are each other's transposes.

Few channels, as a bottleneck leaves, fill no vector: for them there are native
kernels, whose vectors run along the rows of an image.

XLA on CPU has fast code for a convolution from `NHWC` and `HWIO` to `NHWC`. It
brings others, which gradients are, into this layout, but not in the body of a
loop or of a branch, where Transit-cells compute: there they take ten times as
long. So each of the three is written in this layout for CPU.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import ad

from jnas.native import library, primitive
from jnas.types import Array

_Pair = tuple[int, int]

_NO_PADDING = ((0, 0), (0, 0))

# Pairs of an input and an output channel up to which the kernels are faster:
# on rows that fill a vector, in the two gradients, and on shorter rows, where
# the gradient of the kernel is left to XLA.
_VECTOR = 16
_MOST_PAIRS = 256
_MOST_PAIRS_BACK = 1024
_MOST_PAIRS_SHORT = 64
# Threads share out the kernel gradient of a source by blocks of images.
_MOST_IMAGE_BLOCKS = 32


def convolve(
  x: Array, kernel: Array, *, strides: _Pair, dilation: int
) -> Array:
  """`[S, B, H, W, C]` and `[T, h, w, C, D]` to `[T, B, H', W', D]`."""
  return _convolve_p.bind(x, kernel, strides=strides, dilation=dilation)


def _convolve(x, kernel, *, strides, dilation):
  multiplier = kernel.shape[0] // x.shape[0]
  padding = [(dilation * (taps // 2),) * 2 for taps in kernel.shape[1:3]]
  outputs = [
    _call_xla(x[target // multiplier], taps, strides, padding, (dilation,) * 2)
    for target, taps in enumerate(kernel)
  ]
  return jnp.stack(outputs)


def _call_xla(x, kernel, strides, padding, dilation):
  return lax.conv_general_dilated(
    x,
    kernel,
    strides,
    padding,
    rhs_dilation=dilation,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


# On accelerators: the gradients that JAX has for a convolution.


def _transposed_input_gradient(kernel, g, *, strides, dilation, sources, size):
  x = _input_gradient_shapes(
    kernel, g, strides=strides, dilation=dilation, sources=sources, size=size
  )

  def forward(x):
    return _convolve(x, kernel, strides=strides, dilation=dilation)

  return jax.linear_transpose(forward, x)(g)[0]


def _transposed_kernel_gradient(x, g, *, strides, dilation, taps):
  kernel = _kernel_gradient_shapes(
    x, g, strides=strides, dilation=dilation, taps=taps
  )

  def forward(kernel):
    return _convolve(x, kernel, strides=strides, dilation=dilation)

  return jax.linear_transpose(forward, kernel)(g)[0]


# On CPU: each is a convolution from NHWC and HWIO to NHWC.


def _correlate_input_gradient(kernel, g, *, strides, dilation, sources, size):
  multiplier = kernel.shape[0] // sources
  axes = zip(size, kernel.shape[1:3], strides, g.shape[2:4], strict=True)
  padding = []
  for length, taps, stride, outputs in axes:
    low = dilation * (taps // 2)
    spread = (outputs - 1) * stride + 1
    high = length + dilation * (taps - 1) - spread - low
    padding.append((low, high, stride - 1))
  # Zeros between the pixels that a stride has left out.
  none = (0, 0, 0)
  g = lax.pad(g, jnp.zeros((), g.dtype), [none, none, *padding, none])
  kernel = kernel[:, ::-1, ::-1].swapaxes(3, 4)
  terms = [
    _call_xla(images, taps, (1, 1), _NO_PADDING, (dilation,) * 2)
    for images, taps in zip(g, kernel, strict=True)
  ]
  totals = [
    sum(terms[start + 1 : start + multiplier], start=terms[start])
    for start in range(0, len(terms), multiplier)
  ]
  return jnp.stack(totals)


def _correlate_kernel_gradient(x, g, *, strides, dilation, taps):
  multiplier = g.shape[0] // x.shape[0]
  axes = zip(x.shape[2:4], taps, strides, g.shape[2:4], strict=True)
  padding = []
  for length, count, stride, outputs in axes:
    low = dilation * (count // 2)
    spread = (outputs - 1) * stride + 1
    high = spread + dilation * (count - 1) - length - low
    padding.append((low, high, 0))
  none = (0, 0, 0)
  x = lax.pad(x, jnp.zeros((), x.dtype), [none, none, *padding, none])
  # A channel is an image here, an example a channel, an output a filter.
  x, g = x.transpose(0, 4, 2, 3, 1), g.transpose(0, 2, 3, 1, 4)
  gradients = [
    _call_xla(
      x[target // multiplier], filters, (dilation,) * 2, _NO_PADDING, strides
    )
    for target, filters in enumerate(g)
  ]
  return jnp.stack(gradients).transpose(0, 2, 3, 1, 4)


# Native kernels.


def _convolve_native(x, kernel, *, mesh_axes, **window):
  del mesh_axes
  y = _convolve_shapes(x, kernel, **window)
  return library.call(
    "jnas_dense_convolve", [(y.shape, y.dtype)], x, kernel, **_window(**window)
  )[0]


def _input_gradient_native(kernel, g, *, mesh_axes, sources, size, **window):
  del mesh_axes
  shape = (sources, g.shape[1], *size, kernel.shape[3])
  return library.call(
    "jnas_dense_input_gradient",
    [(shape, g.dtype)],
    kernel,
    g,
    **_window(**window),
  )[0]


def _kernel_gradient_native(x, g, *, mesh_axes, taps, **window):
  shape = (g.shape[0], *taps, x.shape[-1], g.shape[-1])
  # One partial sum for each block of images, added in order: the result does
  # not depend on which thread is done first.
  blocks = min(g.shape[1], _MOST_IMAGE_BLOCKS)
  dk, _ = library.call(
    "jnas_dense_kernel_gradient",
    [(shape, jnp.float32), ((blocks, *shape), jnp.float32)],
    x,
    g,
    **_window(**window),
  )
  return lax.psum(dk, mesh_axes).astype(g.dtype)


def _most_pairs(columns: int, on_long_rows: int) -> int:
  return on_long_rows if columns >= _VECTOR else _MOST_PAIRS_SHORT


def _window(*, strides: _Pair, dilation: int) -> dict[str, int]:
  """The parameters as the kernels take them."""
  return {
    "row_stride": strides[0],
    "column_stride": strides[1],
    "dilation": dilation,
  }


# The primitives and their rules.


def _convolve_shapes(x, kernel, *, strides, dilation):
  del dilation
  _, batch, height, width, _ = x.shape
  size = -(-height // strides[0]), -(-width // strides[1])
  shape = (kernel.shape[0], batch, *size, kernel.shape[-1])
  return primitive.ShapedArray(shape, x.dtype)


def _input_gradient_shapes(kernel, g, *, strides, dilation, sources, size):
  del strides, dilation
  shape = (sources, g.shape[1], *size, kernel.shape[3])
  return primitive.ShapedArray(shape, g.dtype)


def _kernel_gradient_shapes(x, g, *, strides, dilation, taps):
  del strides, dilation
  shape = (g.shape[0], *taps, x.shape[-1], g.shape[-1])
  return primitive.ShapedArray(shape, g.dtype)


_convolve_p = primitive.make(
  "dense_conv",
  _convolve_shapes,
  xla=_convolve,
  native=primitive.Native(
    _convolve_native,
    (1, None),
    (1,),
    suits=lambda x, kernel, *, strides, **_: (
      math.prod(kernel.shape[3:])
      <= _most_pairs(x.shape[3] // strides[1], _MOST_PAIRS)
    ),
  ),
)
_input_gradient_p = primitive.make(
  "dense_conv_input_gradient",
  _input_gradient_shapes,
  xla=_correlate_input_gradient,
  accelerator=_transposed_input_gradient,
  native=primitive.Native(
    _input_gradient_native,
    (None, 1),
    (1,),
    suits=lambda kernel, g, *, size, **_: (
      math.prod(kernel.shape[3:]) <= _most_pairs(size[1], _MOST_PAIRS_BACK)
    ),
  ),
)
_kernel_gradient_p = primitive.make(
  "dense_conv_kernel_gradient",
  _kernel_gradient_shapes,
  xla=_correlate_kernel_gradient,
  accelerator=_transposed_kernel_gradient,
  native=primitive.Native(
    _kernel_gradient_native,
    (1, 1),
    (None,),
    suits=lambda x, g, **_: (
      g.shape[3] >= _VECTOR and x.shape[-1] * g.shape[-1] <= _MOST_PAIRS_BACK
    ),
  ),
)


def _input_gradient(x, kernel, g, **window):
  return _input_gradient_p.bind(
    kernel, g, sources=x.shape[0], size=tuple(x.shape[2:4]), **window
  )


def _kernel_gradient(x, kernel, g, **window):
  taps = tuple(kernel.shape[1:3])
  return _kernel_gradient_p.bind(x, g, taps=taps, **window)


def _transpose_convolve(ct, x, kernel, **window):
  if ad.is_undefined_primal(x):
    return _input_gradient(x.aval, kernel, ct, **window), None
  return None, _kernel_gradient(x, kernel.aval, ct, **window)


def _transpose_input_gradient(ct, kernel, g, *, sources, size, **window):
  del sources, size
  if ad.is_undefined_primal(kernel):
    return _kernel_gradient(ct, kernel.aval, g, **window), None
  return None, convolve(ct, kernel, **window)


def _transpose_kernel_gradient(ct, x, g, *, taps, **window):
  del taps
  if ad.is_undefined_primal(x):
    return _input_gradient(x.aval, ct, g, **window), None
  return None, convolve(x, ct, **window)


primitive.def_product(_convolve_p, _transpose_convolve)
primitive.def_product(_input_gradient_p, _transpose_input_gradient)
primitive.def_product(_kernel_gradient_p, _transpose_kernel_gradient)
