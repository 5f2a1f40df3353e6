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
    group: position of its group in the cell.
    row: among the outputs of its group.
    members: the edges that it serves.
  """

  branch: int
  group: int
  row: int
  members: tuple[graphs.Member, ...]


class Stage(NamedTuple):
  """Nodes whose operations have the same shapes, which take turns in a loop.

  Attributes:
    branches: a group of each operation.
    features: of each node.
    turns: `[S, F, 4]` branch, position, group and row of each feature.
    entries: `[S, F, M, 3]` target, edge and column of its edges.
    exists: `[S, F, M]` booleans, False in the padding.
  """

  branches: tuple[graphs.Group, ...]
  features: tuple[tuple[Feature, ...], ...]
  turns: np.ndarray
  entries: np.ndarray
  exists: np.ndarray


def make_stage(
  cell: graphs.CellGraph,
  sources: Sequence[int],
  stack_of: Callable[[graphs.Group], int],
  *,
  first_target: int,
) -> Stage:
  """Lays out the nodes of a stage.

  Args:
    cell: all connections.
    sources: the nodes.
    stack_of: outputs that an operation has for its edges: one for all, or one
      for each.
    first_target: the node that targets are counted from.
  """
  branches: dict[str, graphs.Group] = {}
  features: dict[int, list[Feature]] = {source: [] for source in sources}
  for index, group in enumerate(cell.groups):
    if group.source not in features:
      continue
    branches.setdefault(group.op, group)
    branch = list(branches).index(group.op)
    shares = [group.members]
    if stack_of(group) > 1:
      shares = [(member,) for member in group.members]
    features[group.source].extend(
      Feature(branch, index, row, members) for row, members in enumerate(shares)
    )
  by_node = tuple(tuple(features[source]) for source in sources)
  return Stage(
    tuple(branches.values()), by_node, *_tabulate(by_node, first_target)
  )


def _tabulate(
  by_node: Sequence[Sequence[Feature]], first_target: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  most = max(len(features) for features in by_node)
  widest = max((len(f.members) for fs in by_node for f in fs), default=0)
  shape = (len(by_node), most)
  turns = np.zeros((*shape, 4), np.int32)
  entries = np.zeros((*shape, widest, 3), np.int32)
  exists = np.zeros((*shape, widest), bool)
  for s, features in enumerate(by_node):
    for f, (branch, group, row, members) in enumerate(features):
      turns[s, f] = branch, f, group, row
      for m, (target, edge, column) in enumerate(members):
        entries[s, f, m] = target - first_target, edge, column
        exists[s, f, m] = True
  return turns, entries, exists


class Schedule(NamedTuple):
  """What of a stage is computed: the selected ones first, in order.

  Attributes:
    turns: `[S, F, 4]` branch, position, group and row of features.
    num_turns: `[S]` how many features are selected.
    entries: `[S, F, M, 3]` target, edge and column of each one's edges.
    num_entries: `[S, F]` how many of those are selected.
  """

  turns: Array
  num_turns: Array
  entries: Array
  num_entries: Array


def make_schedule(stage: Stage, structure: Array) -> Schedule:
  """What `[E, K]` zeros and ones select."""
  edge, column = stage.entries[..., 1], stage.entries[..., 2]
  active = (structure[edge, column] > 0) & stage.exists
  entries = _selected_first(active, stage.entries)
  num_entries = jnp.sum(active, axis=-1)
  selected = num_entries > 0
  return Schedule(
    turns=_selected_first(selected, stage.turns),
    num_turns=jnp.sum(selected, axis=-1),
    entries=_selected_first(selected, entries),
    num_entries=_selected_first(selected, num_entries),
  )


def _selected_first(flags: Array, values: Array | np.ndarray) -> Array:
  """Sorts the flags' last axis, those that are true first, in order."""
  order = jnp.argsort(~flags, axis=-1, stable=True)
  order = order.reshape(*order.shape, *[1] * (values.ndim - order.ndim))
  return jnp.take_along_axis(jnp.asarray(values), order, axis=flags.ndim - 1)
