"""Blocks of a matrix, put together from arrays and cut into arrays.

Hundreds of small variables are handled as one matrix, and XLA on CPU compiles
a function, and runs a task, for each piece that is cut from an array: here it
is one task for all.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import ad, batching

from jnas.native import library, primitive
from jnas.types import Array, PyTree


class Place(NamedTuple):
  """Where a block lies; blocks that share a row share all their rows."""

  row: int
  column: int
  rows: int
  columns: int


def assemble(
  arrays: Sequence[Array], places: Sequence[Place], shape: tuple[int, int]
) -> Array:
  """A matrix of blocks, zero between them.

  Args:
    arrays: of one type; of any shape, each with the numbers of its block.
    places: of the blocks, which do not overlap.
    shape: `(R, Q)`.

  Returns:
    `[R, Q]`.
  """
  return _assemble_p.bind(*arrays, places=tuple(places), shape=shape)


def cut(
  matrix: Array, places: Sequence[Place], shapes: Sequence[tuple[int, ...]]
) -> list[Array]:
  """Blocks of `[R, Q]` as arrays of the given shapes: undoes `assemble`."""
  return _cut_p.bind(matrix, places=tuple(places), shapes=tuple(shapes))


def ravel(tree: PyTree) -> tuple[Array, Callable[[Array], PyTree]]:
  """The leaves one behind the other, and what brings a tree back from that.

  Args:
    tree: its leaves may be of several types.

  Returns:
    `[N]` of a type that takes all, and a function of `[N]`.
  """
  leaves, form = jax.tree.flatten(tree)
  shapes = [leaf.shape for leaf in leaves]
  dtype = jnp.result_type(*leaves)
  places, stop = [], 0
  for shape in shapes:
    places.append(Place(0, stop, 1, math.prod(shape)))
    stop += math.prod(shape)

  def restore(flat: Array) -> PyTree:
    arrays = cut(flat[None], places, shapes)
    return jax.tree.unflatten(
      form,
      [a.astype(leaf.dtype) for a, leaf in zip(arrays, leaves, strict=True)],
    )

  arrays = [leaf.astype(dtype) for leaf in leaves]
  return assemble(arrays, places, (1, stop))[0], restore


# In XLA: concatenations and slices.


def _concatenate(*arrays, places, shape):
  dtype = arrays[0].dtype
  bands: dict[int, list[tuple[Place, Array]]] = {}
  for place, array in sorted(zip(places, arrays, strict=True), key=_order):
    bands.setdefault(place.row, []).append((place, array))
  parts, row = [], 0
  for start, band in bands.items():
    height = band[0][0].rows
    pieces, column = [], 0
    for place, array in band:
      pieces.append(jnp.zeros((height, place.column - column), dtype))
      pieces.append(array.reshape(height, place.columns))
      column = place.column + place.columns
    pieces.append(jnp.zeros((height, shape[1] - column), dtype))
    parts.append(jnp.zeros((start - row, shape[1]), dtype))
    parts.append(_join(pieces, axis=1))
    row = start + height
  parts.append(jnp.zeros((shape[0] - row, shape[1]), dtype))
  return _join(parts, axis=0)


def _order(pair: tuple[Place, Array]) -> Place:
  return pair[0]


def _join(parts: Sequence[Array], *, axis: int) -> Array:
  """Concatenates those that have numbers."""
  return jnp.concatenate([p for p in parts if p.shape[axis]] or parts, axis)


def _slice(matrix, *, places, shapes):
  return [
    lax.slice(
      matrix,
      (place.row, place.column),
      (place.row + place.rows, place.column + place.columns),
    ).reshape(shape)
    for place, shape in zip(places, shapes, strict=True)
  ]


# The primitives and their rules.


def _assemble_shape(*arrays, places, shape):
  (dtype,) = {array.dtype for array in arrays}
  for array, place in zip(arrays, places, strict=True):
    _check(place, array.shape, shape)
  return primitive.ShapedArray(shape, dtype)


def _cut_shapes(matrix, *, places, shapes):
  for shape, place in zip(shapes, places, strict=True):
    _check(place, shape, matrix.shape)
  return [primitive.ShapedArray(shape, matrix.dtype) for shape in shapes]


def _check(place: Place, shape: Sequence[int], whole: Sequence[int]) -> None:
  row, column, rows, columns = place
  if rows * columns != math.prod(shape):
    raise ValueError(f"array {tuple(shape)} for a block {place}")
  if min(place) < 0 or row + rows > whole[0] or column + columns > whole[1]:
    raise ValueError(f"{place} in a matrix {tuple(whole)}")


def _run_assemble(*arrays, mesh_axes, places, shape):
  del mesh_axes
  (matrix,) = library.call(
    "jnas_assemble",
    [(shape, arrays[0].dtype)],
    *arrays,
    places=np.array(places, np.int64).ravel(),
  )
  return matrix


def _run_cut(matrix, *, mesh_axes, places, shapes):
  del mesh_axes
  return library.call(
    "jnas_cut",
    [(shape, matrix.dtype) for shape in shapes],
    matrix,
    places=np.array(places, np.int64).ravel(),
  )


def _always(*avals, **params) -> bool:
  del avals, params
  return True


_assemble_p = primitive.make(
  "assemble",
  _assemble_shape,
  xla=_concatenate,
  # Without the kernels XLA is to see the pieces.
  native=primitive.Native(_run_assemble, suits=_always),
)
_cut_p = primitive.make(
  "cut",
  _cut_shapes,
  xla=_slice,
  native=primitive.Native(_run_cut, suits=_always),
  multiple_results=True,
)


def _batch(function: Callable, args, axes, **params):
  out = jax.vmap(functools.partial(function, **params), axes)(*args)
  return out, [0] * len(out) if isinstance(out, list) else 0


def _assemble_transpose(ct, *arrays, places, shape):
  del shape
  if type(ct) is ad.Zero:
    return [None] * len(arrays)
  return cut(ct, places, [array.aval.shape for array in arrays])


def _cut_transpose(cts, matrix, *, places, shapes):
  del shapes
  arrays = [ad.instantiate_zeros(ct) for ct in cts]
  return [assemble(arrays, places, matrix.aval.shape)]


ad.deflinear2(_assemble_p, _assemble_transpose)
ad.deflinear2(_cut_p, _cut_transpose)
batching.primitive_batchers[_assemble_p] = functools.partial(
  _batch, _concatenate
)
batching.primitive_batchers[_cut_p] = functools.partial(_batch, _slice)
