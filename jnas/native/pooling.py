"""3x3 pooling with one cell of padding that never counts, and its transposes.

Maximum pooling also returns which of the nine cells won, so that with the
winner held its derivative is linear: take the winner's tangent or, transposed,
put a gradient in the winner's place.

Source: DARTS (arXiv:1806.09055), `max_pool_3x3` and `avg_pool_3x3` of the
authors' code, in PyTorch: ties go to the first cell in row-major order, and
the divisor of the mean is the number of cells inside the image.
"""

import functools
from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import ad

from jnas.native import depthwise, library, primitive
from jnas.types import Array

_CELLS = tuple((i, j) for i in range(3) for j in range(3))


def max_pool(x: Array, *, stride: int) -> Array:
  """`[B, H, W, C]` to `[B, H', W', C]`, the maximum of real cells."""
  return _max_p.bind(x, stride=stride)[0]


def avg_pool(x: Array, *, stride: int) -> Array:
  """`[B, H, W, C]` to `[B, H', W', C]`, the mean of real cells."""
  return _mean_p.bind(x, stride=stride)


# In XLA: nine shifted slices.


def _max_slices(x, *, stride):
  real = _count_real(x.shape[1:3], stride=stride)
  best = winner = None
  for cell, value in enumerate(_slices(x, stride=stride)):
    if best is None or winner is None:
      best, winner = value, jnp.full(value.shape, -1, jnp.int32)
    better = (winner < 0) | (value > best) | jnp.isnan(value)
    better &= real[cell][None, :, :, None]
    best = jnp.where(better, value, best)
    winner = jnp.where(better, cell, winner)
  assert best is not None and winner is not None
  return [best, winner.astype(jnp.uint8)]


def _take_slices(x, winner, *, stride):
  y = jnp.zeros(winner.shape, x.dtype)
  for cell, value in enumerate(_slices(x, stride=stride)):
    y = jnp.where(winner == cell, value, y)
  return y


def _put_slices(g, winner, *, stride, size):
  terms = [jnp.where(winner == cell, g, 0) for cell in range(len(_CELLS))]
  return _add_in_place(terms, stride=stride, size=size)


def _mean_slices(x, *, stride):
  real = _count_real(x.shape[1:3], stride=stride).sum(0)[None, :, :, None]
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  total = functools.reduce(jnp.add, _slices(wide, stride=stride))
  return (total / real.astype(wide.dtype)).astype(x.dtype)


def _spread_slices(g, *, stride, size):
  real = _count_real(size, stride=stride).sum(0)[None, :, :, None]
  wide = g.astype(jnp.promote_types(g.dtype, jnp.float32))
  terms = [wide / real.astype(wide.dtype)] * len(_CELLS)
  return _add_in_place(terms, stride=stride, size=size).astype(g.dtype)


def _slices(x: Array, *, stride: int) -> Iterator[Array]:
  """Yields for each cell what every window has there, zero off the image."""
  batch, height, width, channels = x.shape
  padded = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
  limit = (
    (depthwise.output_size(height, stride=stride) - 1) * stride + 1,
    (depthwise.output_size(width, stride=stride) - 1) * stride + 1,
  )
  for i, j in _CELLS:
    yield lax.slice(
      padded,
      (0, i, j, 0),
      (batch, i + limit[0], j + limit[1], channels),
      (1, stride, stride, 1),
    )


def _add_in_place(
  terms: Sequence[Array], *, stride: int, size: tuple[int, int]
) -> Array:
  """Transposes `_slices`: adds each cell's `[B, H', W', C]` where it lies."""
  places = []
  for (i, j), term in zip(_CELLS, terms, strict=True):
    pads = [
      (offset - 1, full - offset - (short - 1) * stride, stride - 1)
      for offset, full, short in zip((i, j), size, term.shape[1:3], strict=True)
    ]
    zero = jnp.zeros((), term.dtype)
    places.append(lax.pad(term, zero, [(0, 0, 0), *pads, (0, 0, 0)]))
  return functools.reduce(jnp.add, places)


def _count_real(size: tuple[int, int], *, stride: int) -> np.ndarray:
  """Returns `[9, H', W']`, whether a window's cell lies inside the image."""

  def inside(length: int) -> np.ndarray:
    starts = np.arange(0, length, stride)[None, :]
    place = starts + np.arange(-1, 2)[:, None]
    return (place >= 0) & (place < length)

  rows, columns = inside(size[0]), inside(size[1])
  real = rows[:, None, :, None] & columns[None, :, None, :]
  return real.reshape(len(_CELLS), *real.shape[2:])


# The primitives and their rules.


def _pooled(x, stride, dtype):
  batch, height, width, channels = x.shape
  height = depthwise.output_size(height, stride=stride)
  width = depthwise.output_size(width, stride=stride)
  return primitive.ShapedArray((batch, height, width, channels), dtype)


def _unpooled(g, size):
  shape = (g.shape[0], *size, g.shape[-1])
  return primitive.ShapedArray(shape, g.dtype)


def _max_shapes(x, *, stride):
  winner = _pooled(x, stride, np.dtype(np.uint8))
  return [_pooled(x, stride, x.dtype), winner]


def _take_shapes(x, winner, *, stride):
  del winner
  return _pooled(x, stride, x.dtype)


def _put_shapes(g, winner, *, stride, size):
  del winner, stride
  return _unpooled(g, size)


def _mean_shapes(x, *, stride):
  return _pooled(x, stride, x.dtype)


def _spread_shapes(g, *, stride, size):
  del stride
  return _unpooled(g, size)


def _make(name: str, shapes, xla, *, operands: int, results: int | None = None):
  """Returns a primitive whose every operand and result has the batch first.

  Its kernel is called as it is; `results` counts them if there are several.
  """

  def run(*args, mesh_axes, stride, **size):
    del mesh_axes
    out = shapes(*args, stride=stride, **size)
    out = out if results else [out]
    values = library.call(
      f"jnas_{name}", [(o.shape, o.dtype) for o in out], *args, stride=stride
    )
    return values if results else values[0]

  native = primitive.Native(run, (0,) * operands, (0,) * (results or 1))
  return primitive.make(
    name, shapes, xla=xla, native=native, multiple_results=bool(results)
  )


_max_p = _make("pool_max", _max_shapes, _max_slices, operands=1, results=2)
_take_p = _make("pool_take", _take_shapes, _take_slices, operands=2)
_put_p = _make("pool_put", _put_shapes, _put_slices, operands=2)
_mean_p = _make("pool_mean", _mean_shapes, _mean_slices, operands=1)
_spread_p = _make("pool_spread", _spread_shapes, _spread_slices, operands=1)


def _max_jvp(primals, tangents, *, stride):
  (x,), (tangent,) = primals, tangents
  y, winner = _max_p.bind(x, stride=stride)
  no_tangent = primitive.zero_tangent(winner)
  if type(tangent) is ad.Zero:
    return [y, winner], [primitive.zero_tangent(y), no_tangent]
  tangent = _take_p.bind(tangent, winner, stride=stride)
  return [y, winner], [tangent, no_tangent]


def _take_transpose(ct, x, winner, *, stride):
  if type(ct) is ad.Zero:
    return None, None
  size = tuple(x.aval.shape[1:3])
  return _put_p.bind(ct, winner, stride=stride, size=size), None


def _put_transpose(ct, g, winner, *, stride, size):
  del g, size
  if type(ct) is ad.Zero:
    return None, None
  return _take_p.bind(ct, winner, stride=stride), None


ad.primitive_jvps[_max_p] = _max_jvp
for _prim, _transpose in (
  (_take_p, _take_transpose),
  (_put_p, _put_transpose),
):
  ad.defjvp(
    _prim,
    lambda t, x, winner, prim=_prim, **params: prim.bind(t, winner, **params),
    None,
  )
  ad.primitive_transposes[_prim] = _transpose
ad.deflinear2(
  _mean_p,
  lambda ct, x, *, stride: [
    _spread_p.bind(ct, stride=stride, size=tuple(x.aval.shape[1:3]))
  ],
)
ad.deflinear2(
  _spread_p,
  lambda ct, g, *, stride, size: [_mean_p.bind(ct, stride=stride)],
)
