"""A Transit cell that computes only what an array of connections selects.

The work is that of the derived cell, and the program, compiled once, serves
every derived cell, with any number of connections. Only the nodes are stored
for the gradient, which walks back through the same loops.

Source: EnTranNAS, Sec. 2.2 and Eq. (6); DESIGN.md, section 4, "a zero weight
saves nothing under jit".
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jnas.nets import detached, loops, packing, schedule, width
from jnas.nets.context import Context
from jnas.nets.loops import at, put
from jnas.ops.base import BATCH_NORM_MOMENTUM
from jnas.types import Array, PyTree


class Weights(NamedTuple):
  """Variables of a cell in matrices; parameters or statistics.

  Attributes:
    inputs: `[S, F, Q]` of the operations on input nodes.
    nodes: `[S, F, Q]` of the operations on the other nodes.
    enter: `[inputs + nodes, Q]` of bottlenecks before the operations.
    leave: `[nodes, Q]` of bottlenecks behind them.
  """

  inputs: Array
  nodes: Array
  enter: Array
  leave: Array


class Selection(NamedTuple):
  """What is selected, and what else the loops read.

  Attributes:
    inputs: of the operations on input nodes.
    nodes: of the operations on the other nodes.
    is_read: `[inputs + nodes]` booleans, of nodes that some operation reads.
    is_reached: `[nodes]` booleans, of nodes that something enters.
    scales: `[B, E]` factors of the edges, or None.
    keys: of random draws.
  """

  inputs: schedule.Schedule
  nodes: schedule.Schedule
  is_read: Array
  is_reached: Array
  scales: Array | None
  keys: PyTree


def run(
  context: Context,
  variables: detached.Variables,
  inputs: Sequence[Array],
  structure: Array,
  scales: Array | None,
) -> Array:
  """A Transit cell's output, for `transit.TransitCell`.

  Args:
    context: of its operations.
    variables: its variables; the statistics of what runs are moved.
    inputs: one `[B, H, W, C]` for each input node.
    structure: `[E, K]` zeros and ones.
    scales: `[B, E]` factors of the edges, or None.

  Returns:
    `[B, H / stride, W / stride, C * len(concat)]`.
  """
  layout = _Layout(context, variables, inputs[0])

  @jax.custom_vjp
  def compute(xs, params, stats, selection):
    return _forwards(layout, xs, params, stats, selection)[:2]

  def forwards(xs, params, stats, selection):
    nodes, moved, sums = _forwards(layout, xs, params, stats, selection)
    return (nodes, moved), (xs, params, stats, selection, sums)

  def backwards(residuals, cotangents):
    return *_backwards(layout, *residuals, cotangents[0]), None, None

  compute.defvjp(forwards, backwards)
  nodes, moved = compute(
    jnp.stack(inputs),
    layout.pack(0),
    layout.pack(1),
    layout.select(structure, scales),
  )
  layout.write(moved)
  first = context.graph.num_inputs
  return jnp.concatenate(
    [nodes[node - first] for node in context.graph.concat], axis=-1
  )


class _Layout:
  """What of a cell is static, and its variables as matrices."""

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
    self.stacks = [
      context.count_outputs(group, *trees, x)
      for group, trees in zip(self.graph.groups, self.trees, strict=True)
    ]
    stack_of = dict(zip(self.graph.groups, self.stacks, strict=True))
    self.stages = [
      schedule.make_stage(self.graph, sources, stack_of.__getitem__)
      for sources in (range(self.first), range(self.first, self.last))
    ]

  def select(self, structure: Array, scales: Array | None) -> Selection:
    """What zeros and ones `[E, K]` select."""
    inputs, nodes = (
      schedule.make_schedule(stage, structure) for stage in self.stages
    )
    reached = [jnp.zeros((), bool)] * self.graph.num_nodes
    for group in self.graph.groups:
      for target, edge, column in group.members:
        reached[target - self.first] |= structure[edge, column] > 0
    counts = jnp.concatenate([inputs.num_turns, nodes.num_turns])
    keys = self.context.noise, self.context.drop_key, self.context.drop_skip
    return Selection(
      inputs, nodes, counts > 0, jnp.stack(reached), scales, keys
    )

  def pack(self, which: int) -> Weights:
    """Parameters (0) or statistics (1) as matrices."""
    operations = []
    for stage in self.stages:
      count = stage.turns.shape[1]
      rows = []
      for features in stage.features:
        groups = list(dict.fromkeys(feature.group for feature in features))
        trees = [self.trees[group][which] for group in groups]
        rows.append((trees, [self.stacks[group] for group in groups]))
      matrices = [packing.pack(*row, count) for row in rows]
      widest = max(matrix.shape[1] for matrix in matrices)
      operations.append(
        jnp.stack([packing.widen(matrix, widest) for matrix in matrices])
      )
    ports = [
      packing.pack(
        [self.variables.read(name)[which] for name in names],
        [1] * len(names),
        rows,
      )
      for names, rows in (
        (self._enter_names(), self.last),
        (self._leave_names(), self.graph.num_nodes),
      )
    ]
    return Weights(*operations, *ports)

  def write(self, moved: Weights) -> None:
    """Replaces the statistics."""
    for stage, matrix in zip(self.stages, moved[:2], strict=True):
      for features, rows in zip(stage.features, matrix, strict=True):
        start = 0
        for index in dict.fromkeys(feature.group for feature in features):
          stop = start + self.stacks[index]
          self.variables.write(
            packing.unpack(rows[start:stop], self.trees[index][1]),
            *self.context.path(self.graph.groups[index]),
          )
          start = stop
    for names, rows in (
      (self._enter_names(), moved.enter),
      (self._leave_names(), moved.leave),
    ):
      for index, name in enumerate(names):
        tree = self.variables.read(name)[1]
        row = rows[index : index + 1]
        self.variables.write(packing.unpack(row, tree), name)

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
    inside = packing.unpack(params[None], like[0])
    if not self.context.train:
      return run(inside, packing.unpack(stats[None], like[1]))[0], stats
    # Running statistics only enter as a share of the moved ones: added behind,
    # they need not be unpacked for each operation.
    still = jax.tree.map(
      lambda leaf: jnp.zeros((1, *leaf.shape[1:]), leaf.dtype), like[1]
    )
    y, moved = run(inside, still)
    moved = packing.fit(moved, len(stats))
    return y, BATCH_NORM_MOMENTUM * stats + moved


def _forwards(
  layout: _Layout,
  xs: Array,
  params: Weights,
  stats: Weights,
  selection: Selection,
) -> tuple[Array, Weights, Array]:
  """The nodes `[N, B, H', W', C]`, the statistics, and the nodes' sums."""
  context, first = layout.context, layout.first
  enter, leave = _ports(layout, params, stats, selection, xs.shape[-1])
  operands = _operands(params, stats, selection)

  def from_input(s: Array, carry):
    sums, moved, entered = carry
    x, row = enter(s, at(xs, s))
    entered = put(entered, row, s)
    sums, rows = loops.forwards(layout.branches(0), operands[0], s, x, sums)
    return sums, put(moved, rows, s), entered

  def from_node(s: Array, carry):
    sums, nodes, moved, entered, left = carry
    x, row = leave(s, at(sums, s))
    left = put(left, row, s)
    if layout.has_ports:
      nodes = put(nodes, x, s)
    x, row = enter(s + first, x)
    entered = put(entered, row, s + first)
    sums, rows = loops.forwards(layout.branches(1), operands[1], s, x, sums)
    return sums, nodes, put(moved, rows, s), entered, left

  batch, height, breadth, channels = xs.shape[1:]
  stride = context.plan.stride
  shape = (layout.graph.num_nodes, batch, height // stride, breadth // stride)
  sums = jnp.zeros((*shape, context.inner), xs.dtype)
  sums, inputs, entered = lax.fori_loop(
    0, first, from_input, (sums, stats.inputs, stats.enter)
  )
  # Without bottlenecks the sums are the nodes.
  nodes = jnp.zeros((*shape, channels if layout.has_ports else 0), xs.dtype)
  sums, nodes, moved, entered, left = lax.fori_loop(
    0, shape[0], from_node, (sums, nodes, stats.nodes, entered, stats.leave)
  )
  moved = Weights(inputs, moved, entered, left)
  return nodes if layout.has_ports else sums, moved, sums


def _backwards(
  layout: _Layout,
  xs: Array,
  params: Weights,
  stats: Weights,
  selection: Selection,
  sums: Array,
  dnodes: Array,
) -> tuple[Array, Weights]:
  """Gradients of the inputs and the parameters, from that of the nodes."""
  first, count = layout.first, layout.graph.num_nodes
  enter, leave = _ports(layout, params, stats, selection, xs.shape[-1])
  operands = _operands(params, stats, selection)

  def to_node(i: Array, carry):
    dsums, rows, dentered, dleft = carry
    s = count - 1 - i
    total = at(sums, s)
    node, _ = leave(s, total)
    x, _ = enter(s + first, node)
    dx, new = loops.backwards(
      layout.branches(1), operands[1], s, x, jnp.zeros_like(x), dsums
    )
    row, dnode = enter.pull(s + first, node, dx)
    dentered = put(dentered, row, s + first)
    row, dtotal = leave.pull(s, total, dnode + at(dnodes, s))
    dleft = put(dleft, row, s)
    return put(dsums, dtotal, s), put(rows, new, s), dentered, dleft

  def to_input(s: Array, carry):
    dxs, rows, dentered = carry
    x, _ = enter(s, at(xs, s))
    dx, new = loops.backwards(
      layout.branches(0), operands[0], s, x, jnp.zeros_like(x), dsums
    )
    row, dx = enter.pull(s, at(xs, s), dx)
    return put(dxs, dx, s), put(rows, new, s), put(dentered, row, s)

  zeros = jax.tree.map(jnp.zeros_like, params)
  dsums, nodes, dentered, dleft = lax.fori_loop(
    0, count, to_node, (jnp.zeros_like(sums), zeros.nodes, *zeros[2:])
  )
  dxs, inputs, dentered = lax.fori_loop(
    0, first, to_input, (jnp.zeros_like(xs), zeros.inputs, dentered)
  )
  return dxs, Weights(inputs, nodes, dentered, dleft)


def _operands(
  params: Weights, stats: Weights, selection: Selection
) -> list[loops.Operands]:
  return [
    loops.Operands(
      params[which],
      stats[which],
      selection[which],
      selection.scales,
      selection.keys,
    )
    for which in (0, 1)
  ]


def _ports(
  layout: _Layout,
  params: Weights,
  stats: Weights,
  selection: Selection,
  channels: int,
) -> tuple["_Port", "_Port"]:
  """The bottlenecks before and behind the operations."""
  first, inner = layout.first, layout.context.inner
  ports = [None, None]
  if layout.has_ports:
    ports = [
      layout.port(width.reduce_name(first), inner),
      layout.port(width.expand_name(first), channels),
    ]
  return (
    _Port(ports[0], params.enter, stats.enter, selection.is_read),
    _Port(ports[1], params.leave, stats.leave, selection.is_reached),
  )


class _Port(NamedTuple):
  """A bottleneck of every node, which runs where it is used.

  Attributes:
    apply: a function of `(params [Q], stats [P], x)`; None for no bottleneck.
    params: `[S, Q]`.
    stats: `[S, P]`.
    is_used: `[S]` booleans.
  """

  apply: Callable | None
  params: Array
  stats: Array
  is_used: Array

  def __call__(self, s: Array, x: Array) -> tuple[Array, Array]:
    """Its output, zero where it is not used, and the moved statistics."""
    stats = at(self.stats, s)
    if self.apply is None:
      return x, stats
    params = at(self.params, s)
    shape, _ = jax.eval_shape(self.apply, params, stats, x)

    def skip(params: Array, stats: Array, x: Array) -> tuple[Array, Array]:
      del params, x
      return jnp.zeros(shape.shape, shape.dtype), stats

    return lax.cond(at(self.is_used, s), self.apply, skip, params, stats, x)

  def pull(self, s: Array, x: Array, dy: Array) -> tuple[Array, Array]:
    """Gradients of parameters and input."""
    params = at(self.params, s)
    if self.apply is None:
      return params, dy
    apply = self.apply

    def run(params, stats, x, dy):
      return jax.vjp(lambda params, x: apply(params, stats, x)[0], params, x)[
        1
      ](dy)

    def skip(params, stats, x, dy):
      del stats, dy
      return jnp.zeros_like(params), jnp.zeros_like(x)

    return lax.cond(
      at(self.is_used, s), run, skip, params, at(self.stats, s), x, dy
    )
