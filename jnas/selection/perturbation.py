"""PT's order of decisions, and the genotype that they add up to.

Source: PT (arXiv:2108.04392), Algorithms 1 and 2; SPEC 3.6.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp

from jnas.functional import decisions as rules
from jnas.functional import derive, projection
from jnas.genotype import Genotype
from jnas.selection import connections
from jnas.spaces import NONE, Space, nasbench201
from jnas.types import Array

# An edge that was given `none`: not in the genotype, or its first operation.
NoneEdge = Literal["removed", "first_other"]

# An edge gets its operation, or a node its edges.
Phase = Literal["operation", "topology"]


class Task(NamedTuple):
  """A decision to make.

  Attributes:
    epoch: of the tuning; the decision comes before its training.
    cell_type: whose cell it is about.
    phase: what is decided.
  """

  epoch: int
  cell_type: str
  phase: Phase


def tasks(space: Space, *, tune_epochs: int) -> tuple[tuple[Task, ...], int]:
  """All decisions in order, and the epochs of tuning.

  Each round decides on one edge, later one node, of every cell type.

  Source: SPEC 3.6, the authors' schedule; 6, D31 for the rounds.

  Args:
    space: the search space.
    tune_epochs: epochs between two rounds, 0 or more.
  """
  num_choices = len(open_nodes(space))
  if tune_epochs:
    schedule = projection.schedule(
      num_edges=len(space.edges), num_choices=num_choices, interval=tune_epochs
    )
  else:
    schedule = projection.Schedule(
      (0,) * len(space.edges), (0,) * num_choices, 0
    )
  rounds: list[tuple[int, Phase]] = []
  rounds.extend((epoch, "operation") for epoch in schedule.op_epochs)
  rounds.extend((epoch, "topology") for epoch in schedule.edge_epochs)
  made = tuple(
    Task(epoch, cell_type, phase)
    for epoch, phase in rounds
    for cell_type in space.cell_types
  )
  return made, schedule.num_epochs


def open_nodes(space: Space) -> tuple[int, ...]:
  """Intermediate nodes, from 0, that more edges enter than they may keep."""
  return tuple(
    node
    for node in range(space.num_nodes)
    if len(edges_into(space, node)) > space.edges_per_node
  )


def edges_into(space: Space, node: int) -> tuple[int, ...]:
  """The edges that enter an intermediate node, numbered from 0."""
  target = space.num_inputs + node
  return tuple(
    edge for edge, (_, into) in enumerate(space.edges) if into == target
  )


def strongest_edges(
  weights_ek: Array, space: Space, cell_type: str, node: int
) -> tuple[int, ...]:
  """The edges that a node keeps by the rule of DARTS, ascending.

  Source: PT, Table 2, PT-Mag; SPEC 7, U10.

  Args:
    weights_ek: `[E, K]` mixing weights without any decision.
    space: the search space.
    cell_type: of the cell.
    node: an intermediate node, from 0.
  """
  allowed_ek = jnp.asarray(
    space.mask(cell_type) & ~space.is_op(cell_type, NONE)
  )
  _, strength_e = derive.strongest_ops(weights_ek, allowed_ek)
  rank_e = derive.strongest_edges(
    strength_e,
    jnp.asarray([target for _, target in space.edges]),
    num_edges=space.edges_per_node,
  )
  return tuple(e for e in edges_into(space, node) if rank_e[e] >= 0)


def strongest_op(weights_k: Array, candidates: Sequence[int]) -> int:
  """The candidate of the largest weight; ties go to the first.

  Source: PT, Table 2, PT-Mag: argmax of the mixing weights.

  Args:
    weights_k: `[K]` mixing weights of an edge without any decision.
    candidates: columns, ascending.
  """
  return max(candidates, key=lambda column: float(weights_k[column]))


def op_candidates(
  space: Space, cell_type: str, edge: int, *, none_candidate: bool
) -> tuple[int, ...]:
  """The operations that an edge may be given.

  Source: SPEC 6, D14: `none` is a candidate like the others where a space
  lists it, unless it is left out.

  Args:
    space: the search space.
    cell_type: of the cell.
    edge: in 0..E-1.
    none_candidate: whether `none` may be chosen.

  Returns:
    Columns of the mixing weights, ascending.
  """
  names = space.ops[cell_type][edge]
  return tuple(
    column
    for column, name in enumerate(names)
    if none_candidate or name != NONE
  )


def genotype(
  decisions: Mapping[str, rules.Decisions],
  space: Space,
  *,
  none_edge: NoneEdge = "removed",
) -> Genotype:
  """The cells that the decisions leave.

  Source: SPEC 6, D14.

  Args:
    decisions: of each cell type, every edge decided.
    space: the search space.
    none_edge: whether an edge that was given `none` is "removed", so that a
      node may have fewer edges than it may keep, or is read as its
      "first_other" operation, as in the authors' code.
  """
  weights = {
    cell_type: rules.hold(
      jnp.zeros((len(space.edges), space.num_ops)), decisions[cell_type]
    )
    for cell_type in space.cell_types
  }
  if none_edge == "first_other":
    weights = {
      cell_type: _without_none(weights_ek, space, cell_type)
      for cell_type, weights_ek in weights.items()
    }
  if space.every_edge:
    return nasbench201.derive(weights, space)
  return connections.from_counts(weights, space)


def _without_none(weights_ek: Array, space: Space, cell_type: str) -> Array:
  """The weight of `none` moved to the first other operation of its edge."""
  is_none_ek = jnp.asarray(space.is_op(cell_type, NONE))
  other_ek = jnp.asarray(space.mask(cell_type)) & ~is_none_ek
  first_ek = other_ek & (jnp.cumsum(other_ek, axis=-1) == 1)
  none_e = jnp.sum(jnp.where(is_none_ek, weights_ek, 0), axis=-1)
  kept_ek = jnp.where(is_none_ek, 0, weights_ek)
  return kept_ek + jnp.where(first_ek, none_e[:, None], 0)
