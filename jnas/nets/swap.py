"""Two edges of a cell exchanged: how much alike their operations are.

Source: PT (arXiv:2108.04392), Sec. 3.2 and Table 1.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import tree_util

from jnas.nets import graph
from jnas.types import PyTree


def swappable(
  cell_graph: graph.CellGraph, edges: tuple[tuple[int, int], ...]
) -> list[tuple[int, int]]:
  """Pairs of edges whose operations have variables of the same shapes.

  Edges that leave input nodes may have another stride than the others.

  Args:
    cell_graph: of the cell type.
    edges: (source, target) of each edge.

  Returns:
    Pairs of positions in `edges`, the lower first.
  """
  names: dict[int, list[str]] = {index: [] for index in range(len(edges))}
  for group in cell_graph.groups:
    for member in group.members:
      names[member.edge].append(group.op)
  return [
    (one, other)
    for one in range(len(edges))
    for other in range(one + 1, len(edges))
    if (edges[one][0] < cell_graph.num_inputs)
    == (edges[other][0] < cell_graph.num_inputs)
    and sorted(names[one]) == sorted(names[other])
  ]


def swap_edges(
  cell: Mapping[str, PyTree],
  cell_graph: graph.CellGraph,
  one: int,
  other: int,
) -> dict[str, PyTree]:
  """The variables of a cell, those of two edges' operations exchanged.

  Args:
    cell: one collection of a supernet's cell, by name of submodule.
    cell_graph: of its type.
    one: an edge.
    other: another one, as `swappable` pairs them.

  Returns:
    The collection; what all edges of a node share stays where it is.
  """
  swapped: dict[str, Any] = {
    name: dict(tree) if name.startswith("node_") else tree
    for name, tree in cell.items()
  }
  places = {
    (group.op, member.edge): (group, row)
    for group in cell_graph.groups
    for row, member in enumerate(group.members)
  }
  for op, edge in places:
    if edge == one:
      here, there = places[op, one], places[op, other]
      name = graph.module_name(op)
      for (group, row), (from_group, from_row) in (
        (here, there),
        (there, here),
      ):
        node, from_node = (
          graph.node_name(part.source) for part in (group, from_group)
        )
        if name in cell.get(node, {}):
          swapped[node][name] = _put(
            swapped[node][name],
            (row, len(group.members)),
            cell[from_node][name],
            (from_row, len(from_group.members)),
          )
  return swapped


def _put(
  tree: PyTree,
  place: tuple[int, int],
  source: PyTree,
  source_place: tuple[int, int],
) -> PyTree:
  """A row of each leaf replaced by a row of another tree's.

  Places are (row, number of rows). A leaf that serves all edges of its node,
  whatever their number, stays as it is.
  """
  (row, rows), (source_row, source_rows) = place, source_place

  def put(leaf, other):
    if (leaf.shape[0], other.shape[0]) != (rows, source_rows):
      return leaf
    return jnp.asarray(leaf).at[row].set(other[source_row])

  return tree_util.tree_map(put, tree, source)
