"""Variables of stacked submodules as the rows of one matrix."""

import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp

from jnas.native import blocks
from jnas.types import Array, PyTree


def pack(
  trees: Sequence[PyTree],
  starts: Sequence[int],
  rows: int,
  columns: int = 0,
) -> Array:
  """Variables of submodules in rows of a matrix, zeros beside and between.

  Args:
    trees: of each submodule; leaves are `[T, ...]`, T its own.
    starts: the first of the T rows of each.
    rows: R.
    columns: Q, where that is more than the widest submodule has.

  Returns:
    `[R, Q]` float32, or a type that holds more.
  """
  leaves = jax.tree.leaves(list(trees))
  dtype = jnp.result_type(jnp.float32, *leaves)
  places = list(_places(trees, starts))
  widest = max((p.column + p.columns for p in places), default=0)
  shape = rows, max(columns, widest)
  if not leaves:
    return jnp.zeros(shape, dtype)
  arrays = [leaf.astype(dtype) for leaf in leaves]
  return blocks.assemble(arrays, places, shape)


def unpack(
  matrix: Array, trees: Sequence[PyTree], starts: Sequence[int]
) -> list[PyTree]:
  """Rows `[R, Q]` as variables of submodules like `trees`: undoes `pack`."""
  leaves, form = jax.tree.flatten(list(trees))
  if not leaves:
    return list(trees)
  shapes = [leaf.shape for leaf in leaves]
  parts = blocks.cut(matrix, list(_places(trees, starts)), shapes)
  return jax.tree.unflatten(
    form,
    [part.astype(leaf.dtype) for part, leaf in zip(parts, leaves, strict=True)],
  )


def pack_row(tree: PyTree, columns: int) -> Array:
  """Variables `[1, ...]` of a submodule as a row `[Q]`, zeros behind them."""
  return pack([tree], [0], 1, columns)[0]


def unpack_row(row: Array, tree: PyTree) -> PyTree:
  """A row `[Q]` as variables `[1, ...]` of a submodule like `tree`."""
  like = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype), tree
  )
  return unpack(row[None], [like], [0])[0]


def _places(
  trees: Sequence[PyTree], starts: Sequence[int]
) -> Iterator[blocks.Place]:
  for tree, start in zip(trees, starts, strict=True):
    column = 0
    for leaf in jax.tree.leaves(tree):
      size = math.prod(leaf.shape[1:])
      yield blocks.Place(start, column, leaf.shape[0], size)
      column += size
