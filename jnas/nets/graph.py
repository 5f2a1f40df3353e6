"""The walk over a cell's nodes and edges, by source node.

All edges that leave a node read the same tensor, so each operation runs once
for each *source*, with the edges' targets stacked. Supernet and derived net
are walked by the same code: in the one the groups hold every edge, in the
other those that the genotype names.

Source: DESIGN.md, section 4, "batch by source node".
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from jnas import registry
from jnas.genotype import Cell
from jnas.native import lowering
from jnas.ops import OPS, Op
from jnas.spaces import Space
from jnas.types import Array


class Member(NamedTuple):
  """One edge that an operation serves.

  Attributes:
    target: node that the edge enters.
    edge: row of the mixing weights, -1 where there are none (derived nets).
    column: column of the mixing weights, -1 where there are none.
  """

  target: int
  edge: int = -1
  column: int = -1


class Group(NamedTuple):
  """One operation on one source node, for all edges that use it.

  Attributes:
    source: the node that is read.
    op: name of the operation.
    members: the edges, in the order of the stack axis of the parameters.
  """

  source: int
  op: str
  members: tuple[Member, ...]


class CellGraph(NamedTuple):
  """Everything static about one cell.

  Attributes:
    num_inputs: input nodes.
    num_nodes: intermediate nodes.
    concat: nodes concatenated to the output.
    groups: by source node, then in the order of first appearance.
  """

  num_inputs: int
  num_nodes: int
  concat: tuple[int, ...]
  groups: tuple[Group, ...]


def lookup(name: str) -> Op:
  """The operation of this name or dotted path."""
  return registry.resolve(name, OPS, "operation")


def module_name(op: str) -> str:
  """The operation's name as a name of a submodule, also for dotted paths."""
  return op.replace(".", "_").replace(":", "_")


def node_name(source: int) -> str:
  """Name of the submodule with the operations that read a node."""
  return f"node_{source}"


def supernet_graph(space: Space, cell_type: str) -> CellGraph:
  """All operations of all edges; those that contribute nothing are left out."""
  connections = [
    (source, name, Member(target, edge, column))
    for edge, (source, target) in enumerate(space.edges)
    for column, name in enumerate(space.ops[cell_type][edge])
  ]
  return CellGraph(
    space.num_inputs, space.num_nodes, space.concat, _group(connections)
  )


def derived_graph(cell: Cell) -> CellGraph:
  """The connections that a discrete cell names."""
  connections = [
    (source, name, Member(cell.num_inputs + node))
    for node, incoming in enumerate(cell.nodes)
    for name, source in incoming
  ]
  return CellGraph(
    cell.num_inputs, len(cell.nodes), cell.concat, _group(connections)
  )


def _group(
  connections: Sequence[tuple[int, str, Member]],
) -> tuple[Group, ...]:
  members: dict[tuple[int, str], list[Member]] = {}
  for source, name, member in connections:
    if not lookup(name).is_zero:
      members.setdefault((source, name), []).append(member)
  ordered = sorted(members.items(), key=lambda item: item[0][0])
  return tuple(
    Group(source, name, tuple(edges)) for (source, name), edges in ordered
  )


def split_weights(
  graph: CellGraph, weights: Array
) -> dict[tuple[int, str], Array]:
  """The mixing weights of each group, cut once for all cells of a type.

  Args:
    graph: of the cell type.
    weights: `[E, K]`, or `[B, E, K]` where each example has its own.

  Returns:
    By (source, operation): `[T]` or `[T, B]`.
  """
  members = [member for group in graph.groups for member in group.members]
  by_edge = jnp.moveaxis(weights, (-2, -1), (0, 1))
  # One gather in all: its gradient is one scatter, not a sum of padded rows.
  rows = by_edge[
    np.array([member.edge for member in members], int),
    np.array([member.column for member in members], int),
  ]
  sizes = [len(group.members) for group in graph.groups]
  return {
    (group.source, group.op): part
    for group, part in zip(graph.groups, lax.split(rows, sizes), strict=True)
  }


def scale_weights(weights: Array, scales: Array | None) -> Array:
  """Mixing weights `[E, K]` or `[B, E, K]` by factors of the edges `[B, E]`."""
  if scales is None:
    return weights
  if weights.ndim == 2:
    weights = weights[None]
  return weights * scales[:, :, None]


class Selected(NamedTuple):
  """The part of a cell that a static choice of connections keeps.

  Attributes:
    graph: the connections kept.
    rows: of each group, the positions of its edges in the whole cell's stack.
  """

  graph: CellGraph
  rows: Mapping[tuple[int, str], tuple[int, ...]]


def select(graph: CellGraph, structure: Sequence[Sequence[float]]) -> Selected:
  """The connections of `[E, K]` static zeros and ones."""
  groups, rows = [], {}
  for group in graph.groups:
    kept = [
      index
      for index, (_, edge, column) in enumerate(group.members)
      if structure[edge][column]
    ]
    if kept:
      members = tuple(group.members[index] for index in kept)
      groups.append(group._replace(members=members))
      rows[group.source, group.op] = tuple(kept)
  return Selected(graph._replace(groups=tuple(groups)), rows)


def walk(
  graph: CellGraph,
  inputs: Sequence[Array],
  weights: Mapping[tuple[int, str], Array] | None,
  *,
  run: Callable[[Group, Array], Array],
  stride: int,
  enter: Callable[[int, Array], Array] | None = None,
  leave: Callable[[int, Array, Mapping[int, Array]], Array] | None = None,
) -> Array:
  """Runs a cell from its input nodes to its output.

  A node without any incoming connection is a zero tensor and keeps its place
  in the output (SPEC 2.9).

  Source: DARTS, Eqs. (1) and (2).

  Args:
    graph: the cell.
    inputs: one `[B, H, W, C]` for each input node.
    weights: of each group, as `split_weights` gives them, or None where every
      connection counts 1.
    run: applies the operation of a group to what `enter` gives, giving
      `[T or 1, B, H', W', D]`.
    stride: of the edges that leave input nodes.
    enter: maps a node and its `[B, H, W, C]` to what its operations read,
      `[B, H, W, D]`; the same where it is None.
    leave: maps a node that something reaches, the sum over its connections,
      `[B, H', W', D]`, and the nodes before it to `[B, H', W', C]`; the sum
      where it is None.

  Returns:
    `[B, H / stride, W / stride, C * len(concat)]`.
  """
  batch, height, width, channels = inputs[0].shape
  shape = (batch, height // stride, width // stride, channels)
  nodes: dict[int, Array] = dict(enumerate(inputs))
  sums: dict[int, Array] = {}
  for source in range(len(inputs) + graph.num_nodes):
    if source in sums:
      total = sums.pop(source)
      nodes[source] = leave(source, total, nodes) if leave else total
    # A node that nothing reaches is zero.
    x = nodes.setdefault(source, jnp.zeros(shape, inputs[0].dtype))
    groups = [group for group in graph.groups if group.source == source]
    if groups and enter:
      x = enter(source, x)
    # What reaches the same targets is added while still stacked: a few large
    # additions instead of one for each edge and operation.
    terms: dict[tuple[int, ...], list[tuple[Group, Array]]] = {}
    for group in groups:
      targets = tuple(member.target for member in group.members)
      terms.setdefault(targets, []).append((group, run(group, x)))
    for targets, pairs in terms.items():
      if weights is None:
        totals = _add_up([outputs for _, outputs in pairs], len(targets))
      else:
        parts = [weights[source, group.op] for group, _ in pairs]
        stacks = [outputs for _, outputs in pairs]
        # All or none, so that none is lost.
        known = all(target in sums for target in targets)
        earlier = [sums.pop(target) for target in targets] if known else []
        totals = lowering.mix(jnp.stack(parts), stacks, earlier)
      for target, total in zip(targets, totals, strict=True):
        sums[target] = sums[target] + total if target in sums else total
  return jnp.concatenate([nodes[node] for node in graph.concat], axis=-1)


def _add_up(stacks: Sequence[Array], num_targets: int) -> list[Array]:
  """Adds stacks `[T or 1, B, ...]`; one that is not stacked counts for all."""
  full = [stack for stack in stacks if len(stack) == num_targets]
  totals = jnp.unstack(functools.reduce(jnp.add, full)) if full else ()
  single = [stack[0] for stack in stacks if len(stack) < num_targets]
  if not single:
    return [*totals]
  common = functools.reduce(jnp.add, single)
  return [total + common for total in totals] or [common] * num_targets
