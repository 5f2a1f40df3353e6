"""Variables of stacked operations as the rows of one matrix."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jnas.types import Array, PyTree


def pack(trees: Sequence[PyTree], stacks: Sequence[int]) -> Array:
  """Variables `[T, ...]` of several submodules alike as `[R, Q]`.

  Args:
    trees: of each submodule.
    stacks: T of each, which sum to R.
  """
  return jnp.concatenate(
    [
      jnp.concatenate(
        [
          jnp.zeros((stack, 0)),
          *(leaf.reshape(stack, -1) for leaf in jax.tree.leaves(tree)),
        ],
        axis=1,
      )
      for tree, stack in zip(trees, stacks, strict=True)
    ]
  )


def unpack(matrix: Array, tree: PyTree) -> PyTree:
  """Rows `[T, Q or more]` as variables of a submodule like `tree`."""
  leaves, form = jax.tree.flatten(tree)
  parts, start = [], 0
  for leaf in leaves:
    size = math.prod(leaf.shape[1:])
    part = matrix[:, start : start + size]
    parts.append(part.reshape(len(matrix), *leaf.shape[1:]))
    start += size
  return jax.tree.unflatten(form, parts)


def widen(row: Array, width: int) -> Array:
  """`[Q]` with zeros behind it, `[width]`."""
  return jnp.pad(row, (0, width - len(row)))
