"""What of a Transit cell is static, and its variables as matrices."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from jnas.nets import detached, loops, packing, schedule, width
from jnas.nets.context import Context
from jnas.types import Array, PyTree


class Weights(NamedTuple):
  """Variables of a cell in matrices; parameters or statistics.

  Attributes:
    operations: `[S, F, Q]` of each stage.
    enter: `[inputs + nodes, Q]` of bottlenecks before the operations.
    leave: `[nodes, Q]` of bottlenecks behind them.
  """

  operations: tuple[Array, ...]
  enter: Array
  leave: Array


class Selection(NamedTuple):
  """What is selected, and what else the loops read.

  Attributes:
    schedules: of each stage.
    is_read: `[inputs + nodes]` booleans, of nodes that some operation reads.
    is_reached: `[nodes]` booleans, of nodes that something enters.
    scales: `[B, E]` factors of the edges, or None.
    keys: of random draws.
  """

  schedules: tuple[schedule.Schedule, ...]
  is_read: Array
  is_reached: Array
  scales: Array | None
  keys: PyTree


class Layout:
  """What of a cell is static, and its variables as matrices.

  Slots hold what operations read and the sums that enter nodes. Without a
  stride the input nodes have slots too, and one stage serves all nodes; else
  a stage of their own comes first.
  """

  def __init__(
    self, context: Context, variables: detached.Variables, x: Array
  ) -> None:
    self.context = context
    self.variables = variables
    self.graph = context.graph
    self.first = self.graph.num_inputs
    self.last = self.first + self.graph.num_nodes
    self.has_ports = context.options.bottleneck > 1
    self.trees = [
      variables.read(*context.path(group)) for group in self.graph.groups
    ]
    stacks = [
      context.count_outputs(group, *trees, x)
      for group, trees in zip(self.graph.groups, self.trees, strict=True)
    ]
    stack_of = dict(zip(self.graph.groups, stacks, strict=True))
    self.is_merged = context.plan.stride == 1
    # The node of the first slot.
    self.base = 0 if self.is_merged else self.first
    stages = [range(self.base, self.last)]
    if not self.is_merged:
      stages.insert(0, range(self.first))
    self.stages = [
      schedule.make_stage(
        self.graph, nodes, stack_of.__getitem__, first_target=self.base
      )
      for nodes in stages
    ]

  def select(self, structure: Array, scales: Array | None) -> Selection:
    """What zeros and ones `[E, K]` select."""
    schedules = tuple(
      schedule.make_schedule(stage, structure) for stage in self.stages
    )
    reached = [jnp.zeros((), bool)] * self.graph.num_nodes
    for group in self.graph.groups:
      for target, edge, column in group.members:
        reached[target - self.first] |= structure[edge, column] > 0
    counts = jnp.concatenate([stage.num_turns for stage in schedules])
    keys = self.context.noise, self.context.drop_key, self.context.drop_skip
    return Selection(schedules, counts > 0, jnp.stack(reached), scales, keys)

  def pack(self, which: int) -> Weights:
    """Parameters (0) or statistics (1) as matrices."""
    operations = tuple(self._pack(stage, which) for stage in self.stages)
    enter, leave = (
      self._pack_ports(names, which, rows)
      for names, rows in (
        (self._enter_names(), self.last),
        (self._leave_names(), self.graph.num_nodes),
      )
    )
    return Weights(operations, enter, leave)

  def _pack(self, stage: schedule.Stage, which: int) -> Array:
    """`[S, F, Q]`, a row for each feature of each node."""
    groups, starts = _rows_of(stage)
    trees = [self.trees[group][which] for group in groups]
    nodes, features = stage.turns.shape[:2]
    matrix = packing.pack(trees, starts, nodes * features)
    return matrix.reshape(nodes, features, matrix.shape[-1])

  def _pack_ports(self, names: list[str], which: int, rows: int) -> Array:
    """`[rows, Q]`, a row for each bottleneck."""
    trees = [self.variables.read(name)[which] for name in names]
    return packing.pack(trees, range(len(names)), rows)

  def write(self, moved: Weights) -> None:
    """Replaces the statistics."""
    for stage, matrix in zip(self.stages, moved.operations, strict=True):
      groups, starts = _rows_of(stage)
      stats = packing.unpack(
        matrix.reshape(math.prod(matrix.shape[:2]), matrix.shape[2]),
        [self.trees[group][1] for group in groups],
        starts,
      )
      for group, new in zip(groups, stats, strict=True):
        path = self.context.path(self.graph.groups[group])
        self.variables.write(new, *path)
    for names, matrix in (
      (self._enter_names(), moved.enter),
      (self._leave_names(), moved.leave),
    ):
      trees = [self.variables.read(name)[1] for name in names]
      stats = packing.unpack(matrix, trees, range(len(names)))
      for name, new in zip(names, stats, strict=True):
        self.variables.write(new, name)

  def _enter_names(self) -> list[str]:
    # Nothing leaves the last node.
    nodes = range(self.last - 1) if self.has_ports else ()
    return [width.reduce_name(node) for node in nodes]

  def _leave_names(self) -> list[str]:
    nodes = range(self.first, self.last) if self.has_ports else ()
    return [width.expand_name(node) for node in nodes]

  def branches(self, which: int) -> list[loops.Branch]:
    """The operations of a stage as functions of rows."""
    like = dict(zip(self.graph.groups, self.trees, strict=True))

    def apply(group, params, stats, x, index, row, keys):
      noise, drop_key, drop_skip = keys
      context = self.context._replace(
        noise=noise, drop_key=drop_key, drop_skip=drop_skip
      )

      def run(params: PyTree, stats: PyTree) -> tuple[Array, PyTree]:
        y, moved = context.run(group, params, stats, x, [row], index)
        return y[0], moved

      return self._run_on_rows(run, like[group], params, stats)

    return [
      functools.partial(apply, group) for group in self.stages[which].branches
    ]

  def port(self, name: str, features: int) -> Callable:
    """A bottleneck as a function of `(params [Q], stats [P], x)`."""
    like = self.variables.read(name)

    def apply(params, stats, x):
      def run(params: PyTree, stats: PyTree) -> tuple[Array, PyTree]:
        return self.context.run_port(features, params, stats, x)

      return self._run_on_rows(run, like, params, stats)

    return apply

  def _run_on_rows(
    self,
    run: Callable[[PyTree, PyTree], tuple[Array, PyTree]],
    like: tuple[PyTree, PyTree],
    params: Array,
    stats: Array,
  ) -> tuple[Array, Array]:
    """Runs a submodule, variables like those given, on rows of matrices."""
    y, moved = run(
      packing.unpack_row(params, like[0]), packing.unpack_row(stats, like[1])
    )
    if not self.context.train:
      return y, stats
    return y, packing.pack_row(moved, len(stats))


def _rows_of(stage: schedule.Stage) -> tuple[list[int], list[int]]:
  """The groups of a stage, and each one's first row in `[S * F, Q]`.

  A group's features lie one behind the other, in the order of its rows.
  """
  starts: dict[int, int] = {}
  for s, features in enumerate(stage.features):
    for f, feature in enumerate(features):
      starts.setdefault(feature.group, s * stage.turns.shape[1] + f)
  return list(starts), list(starts.values())
