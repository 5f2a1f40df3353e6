"""Variables of stacked submodules as the rows of one matrix."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jnas.types import Array, PyTree


def pack(trees: Sequence[PyTree], stacks: Sequence[int], rows: int) -> Array:
  """Variables of submodules one below the other, padded with zeros.

  Args:
    trees: of each submodule; leaves are `[T, ...]`, T its own.
    stacks: T of each.
    rows: R, at least the sum of all T.

  Returns:
    `[R, Q]`, Q the numbers of the largest submodule.
  """
  blocks = [
    [leaf.reshape(stack, -1) for leaf in jax.tree.leaves(tree)]
    for tree, stack in zip(trees, stacks, strict=True)
  ]
  sizes = [sum(leaf.shape[1] for leaf in block) for block in blocks]
  widest = max(sizes, default=0)
  dtype = jnp.result_type(jnp.float32, *(leaf for b in blocks for leaf in b))
  parts = [
    jnp.concatenate([*block, jnp.zeros((stack, widest - size), dtype)], axis=1)
    for block, stack, size in zip(blocks, stacks, sizes, strict=True)
  ]
  missing = jnp.zeros((rows - sum(stacks), widest), dtype)
  return jnp.concatenate([*parts, missing])


def unpack(matrix: Array, tree: PyTree) -> PyTree:
  """Rows `[T, Q]` as variables of a submodule like `tree`."""
  leaves, form = jax.tree.flatten(tree)
  parts, start = [], 0
  for leaf in leaves:
    size = math.prod(leaf.shape[1:])
    part = matrix[:, start : start + size]
    parts.append(part.reshape(len(matrix), *leaf.shape[1:]))
    start += size
  return jax.tree.unflatten(form, parts)


def fit(tree: PyTree, columns: int) -> Array:
  """Variables `[1, ...]` of a submodule as a row `[Q]`, zeros behind them."""
  leaves = [leaf.reshape(-1) for leaf in jax.tree.leaves(tree)]
  missing = columns - sum(len(leaf) for leaf in leaves)
  dtype = jnp.result_type(jnp.float32, *leaves)
  return jnp.concatenate([*leaves, jnp.zeros(missing, dtype)])


def widen(matrix: Array, columns: int) -> Array:
  """`[R, Q]` with columns of zeros behind it."""
  return jnp.pad(matrix, ((0, 0), (0, columns - matrix.shape[1])))
