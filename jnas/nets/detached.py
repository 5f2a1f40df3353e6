"""Submodules run as plain functions of slices of their variables.

A Transit cell runs few of the operations whose variables it holds, on few of
the edges that they are stacked for. Flax runs a submodule on all of its
variables; here it is run on those that are wanted, and the batch statistics
of the others stay what they were.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnas.types import Array, PRNGKey, PyTree


def apply(
  module: nn.Module,
  params: PyTree,
  stats: PyTree,
  x: Array,
  *,
  train: bool,
  noise: PRNGKey | None = None,
) -> tuple[Array, PyTree]:
  """The output of a module on variables from outside, and moved statistics.

  Args:
    module: without a parent.
    params: its parameters, an empty mapping where it has none.
    stats: its running batch statistics, likewise.
    x: its input.
    train: whether batch norms use the batch's statistics.
    noise: for operations that draw, or None.

  Returns:
    The output, and the statistics, moved if `train`.
  """
  y, moved = module.apply(
    {"params": params, "batch_stats": stats},
    x,
    train=train,
    rngs=None if noise is None else {"noise": noise},
    mutable=["batch_stats"],
  )
  return y, moved.get("batch_stats", stats)


def take(tree: PyTree, rows: Sequence[int]) -> PyTree:
  """Slices of the stack axis; an axis of 1 serves every row."""
  index = jnp.array(rows)
  return jax.tree.map(
    lambda leaf: leaf if leaf.shape[0] == 1 else leaf[index], tree
  )


def put(tree: PyTree, slices: PyTree, rows: Sequence[int]) -> PyTree:
  """The tree with those slices of the stack axis replaced."""
  index = jnp.array(rows)
  return jax.tree.map(
    lambda leaf, new: new if leaf.shape[0] == 1 else leaf.at[index].set(new),
    tree,
    slices,
  )


def keep(old: PyTree, new: PyTree, moves: Array) -> PyTree:
  """New slices where `moves` `[T]` is true; of one for all, if any is."""

  def choose(old: Array, new: Array) -> Array:
    chosen = moves if old.shape[0] == len(moves) else jnp.any(moves)[None]
    return jnp.where(chosen.reshape(-1, *[1] * (old.ndim - 1)), new, old)

  return jax.tree.map(choose, old, new)


class Variables:
  """The variables of a bound module, read and replaced by name of submodule.

  Attributes:
    owner: the module.
  """

  def __init__(self, owner: nn.Module) -> None:
    self.owner = owner

  def read(self, *path: str) -> tuple[PyTree, PyTree]:
    """Parameters and batch statistics of a submodule, `{}` where none."""
    trees: list[Any] = []
    for collection in ("params", "batch_stats"):
      tree: Any = self.owner.variables.get(collection, {})
      for name in path:
        tree = tree.get(name, {})
      trees.append(tree)
    return trees[0], trees[1]

  def write(self, stats: PyTree, *path: str) -> None:
    """Replaces the batch statistics of a submodule, where they may move."""
    if not stats or not self.owner.is_mutable_collection("batch_stats"):
      return
    name, *rest = path
    tree = dict(self.owner.get_variable("batch_stats", name))
    inner = tree
    for key in rest[:-1]:
      inner[key] = dict(inner[key])
      inner = inner[key]
    if rest:
      inner[rest[-1]] = stats
    self.owner.put_variable("batch_stats", name, tree if rest else stats)
