"""Which operations of a cell run, and in which order: from an array.

A cell's operations are laid out once in numbers; zeros and ones of its edges
then select, at run time, a list of those that some edge needs.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jnas.nets import graph as graphs
from jnas.types import Array


class Feature(NamedTuple):
  """One output of one operation on one node.

  Attributes:
    branch: which operation.
    row: position among the outputs of that operation in the stage.
    group: position of its group in the cell.
    position: among the outputs of its group.
    members: the edges that it serves.
  """

  branch: int
  row: int
  group: int
  position: int
  members: tuple[graphs.Member, ...]


class Stage(NamedTuple):
  """Nodes whose operations have the same shapes, which take turns in a loop.

  Attributes:
    sources: the nodes.
    branches: of each operation, its groups, by node.
    features: of each node.
  """

  sources: tuple[int, ...]
  branches: tuple[tuple[graphs.Group, ...], ...]
  features: tuple[tuple[Feature, ...], ...]


def make_stage(
  cell: graphs.CellGraph,
  sources: Sequence[int],
  stack_of: Callable[[graphs.Group], int],
) -> Stage:
  """Lays out the nodes of a stage.

  Args:
    cell: all connections.
    sources: the nodes.
    stack_of: outputs that an operation has for its edges: one for all, or one
      for each.
  """
  ops: dict[str, list[graphs.Group]] = {}
  features: dict[int, list[Feature]] = {source: [] for source in sources}
  rows: dict[str, int] = {}
  for index, group in enumerate(cell.groups):
    if group.source not in features:
      continue
    ops.setdefault(group.op, []).append(group)
    stack = stack_of(group)
    shares = (
      [group.members] if stack == 1 else [(member,) for member in group.members]
    )
    for position, members in enumerate(shares):
      row = rows[group.op] = rows.get(group.op, -1) + 1
      branch = list(ops).index(group.op)
      features[group.source].append(
        Feature(branch, row, index, position, members)
      )
  return Stage(
    tuple(sources),
    tuple(tuple(groups) for groups in ops.values()),
    tuple(tuple(features[source]) for source in sources),
  )


class Schedule(NamedTuple):
  """What of a stage is computed, and in which order.

  Attributes:
    features: `[S, F]` the positions of the selected features first.
    num_features: `[S]` how many those are.
    members: `[S, F, M]` of each feature, the selected edges first.
    num_members: `[S, F]` how many those are.
    is_selected: `[S, F]` booleans.
  """

  features: Array
  num_features: Array
  members: Array
  num_members: Array
  is_selected: Array


class Tables(NamedTuple):
  """A stage's layout in numbers, padded: what its loops look up.

  Attributes:
    branch: `[S, F]` of each feature.
    row: `[S, F]` of each feature.
    group: `[S, F]` of each feature.
    position: `[S, F]` of each feature.
    target: `[S, F, M]` of each feature's edges, from 0.
    edge: `[S, F, M]` likewise.
    column: `[S, F, M]` likewise.
    exists: `[S, F, M]` booleans, False in the padding.
  """

  branch: np.ndarray
  row: np.ndarray
  group: np.ndarray
  position: np.ndarray
  target: np.ndarray
  edge: np.ndarray
  column: np.ndarray
  exists: np.ndarray


def make_tables(stage: Stage, num_inputs: int) -> Tables:
  """The numbers of a stage."""
  most = max(len(features) for features in stage.features)
  widest = max((len(f.members) for fs in stage.features for f in fs), default=0)
  shape = (len(stage.sources), most)
  narrow = np.zeros((4, *shape), np.int32)
  wide = np.zeros((3, *shape, widest), np.int32)
  exists = np.zeros((*shape, widest), bool)
  for s, features in enumerate(stage.features):
    for f, feature in enumerate(features):
      narrow[:, s, f] = feature[:4]
      for m, (target, edge, column) in enumerate(feature.members):
        wide[:, s, f, m] = target - num_inputs, edge, column
        exists[s, f, m] = True
  return Tables(*narrow, *wide, exists)


def make_schedule(tables: Tables, structure: Array) -> Schedule:
  """What `[E, K]` zeros and ones select."""
  active = (structure[tables.edge, tables.column] > 0) & tables.exists
  selected = jnp.any(active, axis=-1)
  return Schedule(
    _first(selected),
    jnp.sum(selected, axis=-1),
    _first(active),
    jnp.sum(active, axis=-1),
    selected,
  )


def _first(flags: Array) -> Array:
  """Positions on the last axis, those with a flag first, in order."""
  return jnp.argsort(~flags, axis=-1, stable=True).astype(jnp.int32)
