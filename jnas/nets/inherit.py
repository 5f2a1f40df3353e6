"""Derived networks that inherit the supernet's weights.

Parameters are stacked by source node and operation, so inheriting is taking
the slices of the edges that the genotype keeps.

Source: SNAS, Sec. 3.1 (child networks without tuning); SPEC 4.1, A6.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jnas.nets import derived, graph, supernet
from jnas.types import PyTree


def inherit(
  variables: Mapping[str, PyTree],
  parent: supernet.Supernet,
  child: derived.DerivedNet,
) -> dict[str, PyTree]:
  """Variables of the child, taken from the supernet's.

  Args:
    variables: the supernet's `params` and `batch_stats`.
    parent: the supernet.
    child: the derived network, built with the same plan and with
      `Settings(affine=False, pool_norm=space.pool_norm)`; no auxiliary head.

  Returns:
    `params` and `batch_stats` of the child.

  Raises:
    ValueError: for a connection that the supernet does not have.
  """
  chosen: dict[str, PyTree] = {
    collection: dict(tree) for collection, tree in variables.items()
  }
  for index, plan in enumerate(parent.plan.cells):
    name = f"cell_{index}"
    parent_graph = parent.graphs[plan.cell_type]
    child_graph = child.graphs[plan.cell_type]
    for collection, tree in variables.items():
      cell_tree = dict(tree[name])
      inherited = {
        key: value
        for key, value in cell_tree.items()
        if not key.startswith("node_")
      }
      for group in child_graph.groups:
        op_tree = cell_tree.get(f"node_{group.source}", {}).get(
          graph.module_name(group.op)
        )
        rows = _rows(parent_graph, group)
        if op_tree is not None:
          node = inherited.setdefault(f"node_{group.source}", {})
          node[graph.module_name(group.op)] = _take(op_tree, rows)
      chosen[collection][name] = inherited
  return chosen


def _rows(parent: graph.CellGraph, group: graph.Group) -> list[int]:
  """Positions of a child's edges in the parent's stack."""
  for candidate in parent.groups:
    if (candidate.source, candidate.op) == (group.source, group.op):
      targets = [member.target for member in candidate.members]
      if all(member.target in targets for member in group.members):
        return [targets.index(member.target) for member in group.members]
  raise ValueError(
    f"the supernet has no {group.op} from node {group.source} to nodes "
    f"{[member.target for member in group.members]}"
  )


def _take(tree: Any, rows: Sequence[int]) -> Any:
  """Slices of the leading axis; an axis of 1 serves every edge."""
  index = jnp.array(rows)

  def take(leaf: jax.Array) -> jax.Array:
    return leaf if leaf.shape[0] == 1 else leaf[index]

  return jax.tree.map(take, tree)
