"""Blocks of a matrix, put together from arrays and cut into arrays.

Hundreds of small variables are handled as one matrix, and XLA on CPU compiles
a function, and runs a task, for each piece that is cut from an array: here it
is one task for all. On several devices, and under `vmap` where the matrix has
several rows, it is XLA that moves the pieces.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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

  Raises:
    ValueError: for arrays of several types or of other sizes than their
      blocks, and for blocks that overlap, leave the matrix, or share some of
      their rows.
  """
  return _assemble_p.bind(*arrays, places=tuple(places), shape=shape)


def cut(
  matrix: Array, places: Sequence[Place], shapes: Sequence[tuple[int, ...]]
) -> list[Array]:
  """Blocks of `[R, Q]` as arrays of the given shapes: undoes `assemble`.

  Raises:
    ValueError: as in `assemble`.
  """
  return _cut_p.bind(matrix, places=tuple(places), shapes=tuple(shapes))


def ravel(tree: PyTree) -> tuple[Array, Callable[[Array], PyTree]]:
  """The leaves one behind the other, and what brings a tree back from that.

  Args:
    tree: its leaves are of one or of several floating types.

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
  for place, array in _in_order(places, arrays):
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


def _in_order(
  places: Sequence[Place], things: Sequence[Any]
) -> list[tuple[Place, Any]]:
  """Those with numbers, from left to right and then from top to bottom."""
  pairs = zip(places, things, strict=True)
  return sorted(
    (pair for pair in pairs if pair[0].rows and pair[0].columns),
    key=lambda pair: pair[0],
  )


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
  types = {array.dtype for array in arrays}
  if len(types) != 1:
    raise ValueError(f"arrays of types {sorted(map(str, types))}; use one")
  _check(places, [array.shape for array in arrays], shape)
  return primitive.ShapedArray(shape, *types)


def _cut_shapes(matrix, *, places, shapes):
  _check(places, shapes, matrix.shape)
  return [primitive.ShapedArray(shape, matrix.dtype) for shape in shapes]


def _check(
  places: Sequence[Place],
  shapes: Sequence[Sequence[int]],
  whole: Sequence[int],
) -> None:
  for place, shape in zip(places, shapes, strict=True):
    row, column, rows, columns = place
    if rows * columns != math.prod(shape):
      raise ValueError(f"array {tuple(shape)} for a block {place}")
    if min(place) < 0 or row + rows > whole[0] or column + columns > whole[1]:
      raise ValueError(f"{place} in a matrix {tuple(whole)}")
  before = Place(0, 0, 0, 0)
  for place, _ in _in_order(places, shapes):
    if (place.row, place.rows) == (before.row, before.rows):
      is_free = before.column + before.columns <= place.column
    else:
      is_free = before.row + before.rows <= place.row
    if not is_free:
      raise ValueError(f"{place} and {before} overlap or share some rows")
    before = place


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


# Without the kernels XLA may leave pieces out, and read others in place.
_assemble_p = primitive.make(
  "assemble",
  _assemble_shape,
  xla=_concatenate,
  native=primitive.Native(_run_assemble, fuses=True),
)
_cut_p = primitive.make(
  "cut",
  _cut_shapes,
  xla=_slice,
  native=primitive.Native(_run_cut, fuses=True),
  multiple_results=True,
)


def _assemble_batch(args, axes, *, places, shape):
  if shape[0] != 1:
    join = functools.partial(_concatenate, places=places, shape=shape)
    return jax.vmap(join, axes)(*args), 0
  size = primitive.axis_size(args, axes)
  arrays = [
    jnp.broadcast_to(x, (size, *x.shape))
    if axis is None
    else jnp.moveaxis(x, axis, 0)
    for x, axis in zip(args, axes, strict=True)
  ]
  matrix = assemble(arrays, _repeat(places, size), (size, shape[1]))
  return matrix[:, None], 0


def _cut_batch(args, axes, *, places, shapes):
  (matrix,), (axis,) = args, axes
  matrix = jnp.moveaxis(matrix, axis, 0)
  size, rows, _ = matrix.shape
  if rows != 1:
    split = functools.partial(_slice, places=places, shapes=shapes)
    parts = jax.vmap(split)(matrix)
  else:
    shapes = [(size, *shape) for shape in shapes]
    parts = cut(matrix[:, 0], _repeat(places, size), shapes)
  return parts, [0] * len(parts)


def _repeat(places: Sequence[Place], size: int) -> list[Place]:
  """Blocks of one row as those of as many rows alike."""
  return [place._replace(row=0, rows=size * place.rows) for place in places]


def _assemble_transpose(ct, *arrays, places, shape):
  del shape
  return cut(ct, places, [array.aval.shape for array in arrays])


def _cut_transpose(cts, matrix, *, places, shapes):
  del shapes
  arrays = [ad.instantiate_zeros(ct) for ct in cts]
  return [assemble(arrays, places, matrix.aval.shape)]


ad.deflinear2(_assemble_p, _assemble_transpose)
ad.deflinear2(_cut_p, _cut_transpose)
batching.primitive_batchers[_assemble_p] = _assemble_batch
batching.primitive_batchers[_cut_p] = _cut_batch
