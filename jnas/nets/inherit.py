"""Derived networks that inherit the supernet's weights.

Parameters are stacked by source node and operation, so inheriting is taking
the slices of the edges that the genotype keeps.

Source: SNAS, Sec. 3.1 (child networks without tuning); SPEC 4.1, A6.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jnas.nets import derived, graph, macro, supernet
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
    ValueError: for a connection that the supernet does not have, or a supernet
      whose operations have fewer channels than its cells.
  """
  options = parent.options
  if options.bottleneck > 1 or options.partial_channels > 1:
    raise ValueError(
      f"bottleneck {options.bottleneck}, partial_channels "
      f"{options.partial_channels}: operations of this supernet have fewer "
      "channels than those of a derived network and cannot be inherited; "
      "evaluate the child as the supernet under the derived 0/1 weights"
    )
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
        if op_tree is None:
          continue
        slices = _take(op_tree, rows)
        if options.share_features:
          stacks = _stacks(child, child_graph, plan, group)
          slices = jax.tree.map(_repeat, slices, stacks[collection])
        node = inherited.setdefault(f"node_{group.source}", {})
        node[graph.module_name(group.op)] = slices
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


def _repeat(leaf: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
  """What a shared operation has once, for each edge of the child."""
  return jnp.broadcast_to(leaf, like.shape)


def _stacks(
  child: derived.DerivedNet,
  child_graph: graph.CellGraph,
  plan: macro.CellPlan,
  group: graph.Group,
) -> Mapping[str, PyTree]:
  """Shapes of the variables of a child's operation."""
  stride = plan.stride if group.source < child_graph.num_inputs else 1
  module = graph.lookup(group.op).build(
    features=plan.features,
    stride=stride,
    targets=len(group.members),
    settings=child.settings,
  )
  x = jnp.zeros((1, 1, 2, 2, plan.features))
  return jax.eval_shape(
    lambda key: module.init({"params": key, "noise": key}, x, train=True),
    jax.random.key(0),
  )
