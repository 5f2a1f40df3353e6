"""A Transit cell that computes only what an array of connections selects.

The work is that of the derived cell, and the program, compiled once, serves
every derived cell, with any number of connections. Only the nodes are stored
for the gradient, which walks back through the same loops.

Source: EnTranNAS, Sec. 2.2 and Eq. (6); DESIGN.md, section 4, "a zero weight
saves nothing under jit".
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jnas.nets import detached, loops, packing, schedule, width
from jnas.nets import graph as graphs
from jnas.types import Array, PyTree


class Weights(NamedTuple):
  """Variables of a cell, each `[rows, numbers]`; parameters or statistics.

  Attributes:
    inputs: of each operation on input nodes.
    nodes: of each operation on the other nodes.
    enter: of the bottlenecks before the operations, by node.
    leave: of those behind them, by node.
  """

  inputs: tuple[Array, ...]
  nodes: tuple[Array, ...]
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
  context: Any,
  variables: detached.Variables,
  inputs: Sequence[Array],
  structure: Array,
  scales: Array | None,
) -> Array:
  """A Transit cell's output, for `transit.TransitCell`.

  Args:
    context: its `transit.Context`.
    variables: its variables; the statistics of what runs are moved.
    inputs: one `[B, H, W, C]` for each input node.
    structure: `[E, K]` zeros and ones.
    scales: `[B, E]` factors of the edges, or None.

  Returns:
    `[B, H / stride, W / stride, C * len(concat)]`.
  """
  cell = _Cell(context, variables, inputs[0])
  params, stats = cell.pack()
  selection = cell.select(structure, scales)

  @jax.custom_vjp
  def compute(inputs, params, stats, selection):
    return cell.forwards(inputs, params, stats, selection)[:2]

  def compute_forwards(inputs, params, stats, selection):
    *out, sums = cell.forwards(inputs, params, stats, selection)
    return tuple(out), (inputs, params, stats, selection, sums)

  def compute_backwards(residuals, cotangents):
    return *cell.backwards(*residuals, cotangents[0]), None, None

  compute.defvjp(compute_forwards, compute_backwards)
  nodes, moved = compute(tuple(inputs), params, stats, selection)
  cell.write(moved)
  first = context.graph.num_inputs
  return jnp.concatenate(
    [nodes[node - first] for node in context.graph.concat], axis=-1
  )


class _Cell:
  """A cell's layout and its loops; holds no arrays that are computed."""

  def __init__(
    self, context: Any, variables: detached.Variables, x: Array
  ) -> None:
    self.graph = context.graph
    self.keys = context.noise, context.drop_key, context.drop_skip
    self.context = context
    self.variables = variables
    self.has_ports = context.options.bottleneck > 1
    self.first = self.graph.num_inputs
    self.stacks = {
      group: self._stack_of(group, x) for group in self.graph.groups
    }
    last = self.first + self.graph.num_nodes
    self.stages = [
      schedule.make_stage(self.graph, sources, self.stacks.__getitem__)
      for sources in (range(self.first), range(self.first, last))
    ]
    self.tables = [
      schedule.make_tables(stage, self.first) for stage in self.stages
    ]
    self.like = {
      group: jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
        self._read(group),
      )
      for group in self.graph.groups
    }

  def _stack_of(self, group: graphs.Group, x: Array) -> int:
    """Outputs that an operation has for its edges: one, or one for each."""
    if self.context.options.share_features:
      return 1
    trees = self._read(group)
    for leaf in jax.tree.leaves(trees):
      return leaf.shape[0]
    rows = range(len(group.members))
    shape = (*x.shape[:-1], self.context.inner)
    y, _ = jax.eval_shape(
      lambda x: self.context.run(group, *trees, x, rows),
      jax.ShapeDtypeStruct(shape, x.dtype),
    )
    return y.shape[0]

  def _read(self, group: graphs.Group) -> tuple[PyTree, PyTree]:
    return self.variables.read(
      graphs.node_name(group.source), graphs.module_name(group.op)
    )

  def select(self, structure: Array, scales: Array | None) -> Selection:
    """What zeros and ones `[E, K]` select."""
    inputs, nodes = (
      schedule.make_schedule(tables, structure) for tables in self.tables
    )
    reached = [jnp.zeros((), bool)] * self.graph.num_nodes
    for group in self.graph.groups:
      for target, edge, column in group.members:
        reached[target - self.first] |= structure[edge, column] > 0
    counts = jnp.concatenate([inputs.num_features, nodes.num_features])
    return Selection(
      inputs, nodes, counts > 0, jnp.stack(reached), scales, self.keys
    )

  # Variables as matrices, and back.

  def pack(self) -> tuple[Weights, Weights]:
    """Parameters and statistics."""
    return self._pack(0), self._pack(1)

  def _pack(self, which: int) -> Weights:
    operations = [
      tuple(
        packing.pack(
          [self._read(group)[which] for group in groups],
          [self.stacks[group] for group in groups],
        )
        for groups in stage.branches
      )
      for stage in self.stages
    ]
    return Weights(
      operations[0],
      operations[1],
      self._pack_ports(self._names(width.reduce_name), which),
      self._pack_ports(self._names(width.expand_name), which),
    )

  def _names(self, name: Callable[[int], str]) -> list[str]:
    nodes = range(self.first + self.graph.num_nodes)
    return [name(node) for node in nodes] if self.has_ports else []

  def _pack_ports(self, names: list[str], which: int) -> Array:
    trees = [self.variables.read(name)[which] for name in names]
    rows = [packing.pack([tree], [1])[0] for tree in trees]
    longest = max((len(row) for row in rows), default=0)
    # Input nodes are not entered, the last node is not left: rows of zeros.
    rows = [packing.widen(row, longest if len(row) else 0) for row in rows]
    rows = [row if len(row) else jnp.zeros(longest) for row in rows]
    return jnp.stack(rows) if rows else jnp.zeros((0, 0))

  def write(self, moved: Weights) -> None:
    """Replaces the statistics."""
    for stage, matrices in zip(self.stages, moved[:2], strict=True):
      for groups, matrix in zip(stage.branches, matrices, strict=True):
        start = 0
        for group in groups:
          rows = matrix[start : start + self.stacks[group]]
          start += self.stacks[group]
          self.variables.write(
            packing.unpack(rows, self.like[group][1]),
            graphs.node_name(group.source),
            graphs.module_name(group.op),
          )
    for name, matrix in (
      (width.reduce_name, moved.enter),
      (width.expand_name, moved.leave),
    ):
      for port, row in zip(self._names(name), matrix, strict=True):
        tree = self.variables.read(port)[1]
        self.variables.write(packing.unpack(row[None], tree), port)

  # What the loops run.

  def _loop(self, which: int, params: Weights, stats: Weights) -> loops.Loop:
    stage = self.stages[which]

    def run(branch, index, position, params, stats, x, keys):
      group = stage.branches[branch][0]
      noise, drop_key, drop_skip = keys
      context = self.context._replace(
        noise=noise, drop_key=drop_key, drop_skip=drop_skip
      )
      y, moved = context.run(
        group,
        packing.unpack(params[None], self.like[group][0]),
        packing.unpack(stats[None], self.like[group][1]),
        x,
        [position],
        index,
      )
      return y[0], packing.pack([moved], [1])[0]

    widths = tuple(
      max((matrix.shape[1] for matrix in weights[which]), default=0)
      for weights in (params, stats)
    )
    return loops.Loop(self.tables[which], run, widths)

  def _operands(
    self, which: int, params: Weights, stats: Weights, selection: Selection
  ) -> loops.Operands:
    return loops.Operands(
      params[which],
      stats[which],
      selection[which],
      selection.scales,
      selection.keys,
    )

  def _port(self, name: Callable[[int], str], features: int):
    """A bottleneck as a function of `(params [Q], stats [P], x)`."""
    node = self.first  # the first node is both entered and left
    like = [
      jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree
      )
      for tree in self.variables.read(name(node))
    ]

    def run(params: Array, stats: Array, x: Array) -> tuple[Array, Array]:
      y, moved = self.context.run_port(
        features,
        packing.unpack(params[None], like[0]),
        packing.unpack(stats[None], like[1]),
        x,
      )
      return y, packing.pack([moved], [1])[0]

    return run

  def forwards(
    self,
    inputs: tuple[Array, ...],
    params: Weights,
    stats: Weights,
    selection: Selection,
  ) -> tuple[Array, Weights, Array]:
    """The nodes `[N, B, H', W', C]`, the statistics, and the nodes' sums."""
    xs = jnp.stack(inputs)
    batch, height, breadth, channels = xs.shape[1:]
    stride = self.context.plan.stride
    shape = batch, height // stride, breadth // stride
    count = self.graph.num_nodes
    enter = self._guard(width.reduce_name, self.context.inner)
    leave = self._guard(width.expand_name, channels)
    loop = [self._loop(which, params, stats) for which in (0, 1)]
    operands = [
      self._operands(which, params, stats, selection) for which in (0, 1)
    ]

    def run_input(s: Array, carry):
      sums, moved, entered = carry
      x, row = enter(
        selection.is_read[s], params.enter, stats.enter, s, _at(xs, s)
      )
      sums, rows = loops.forwards(loop[0], operands[0], s, x, sums)
      return (
        sums,
        _put(moved, rows, s),
        _put(entered, row, s) if row is not None else entered,
      )

    def run_node(s: Array, carry):
      sums, nodes, moved, entered, left = carry
      x, left_row = leave(
        selection.is_reached[s],
        params.leave,
        stats.leave,
        s + self.first,
        _at(sums, s),
      )
      nodes = _put(nodes, x, s) if self.has_ports else nodes
      x, row = enter(
        selection.is_read[s + self.first],
        params.enter,
        stats.enter,
        s + self.first,
        x,
      )
      sums, rows = loops.forwards(loop[1], operands[1], s, x, sums)
      return (
        sums,
        nodes,
        _put(moved, rows, s),
        entered if row is None else _put(entered, row, s + self.first),
        left if left_row is None else _put(left, left_row, s + self.first),
      )

    sums = jnp.zeros((count, *shape, self.context.inner), xs.dtype)
    moved = [
      jnp.zeros((*tables.branch.shape, one.widths[1]), stats.enter.dtype)
      for tables, one in zip(self.tables, loop, strict=True)
    ]
    sums, moved[0], entered = lax.fori_loop(
      0, self.first, run_input, (sums, moved[0], stats.enter)
    )
    nodes = jnp.zeros((count, *shape, channels), xs.dtype)
    nodes = nodes if self.has_ports else None
    sums, nodes, moved[1], entered, left = lax.fori_loop(
      0, count, run_node, (sums, nodes, moved[1], entered, stats.leave)
    )
    moved = [
      self._gather(which, moved[which], stats[which], selection[which])
      for which in (0, 1)
    ]
    nodes = sums if nodes is None else nodes
    return nodes, Weights(moved[0], moved[1], entered, left), sums

  def _gather(
    self,
    which: int,
    rows: Array,
    old: tuple[Array, ...],
    selected: schedule.Schedule | None,
  ) -> tuple[Array, ...]:
    """What loops left in `[S, F, Q]`, by branch; old values where unselected."""
    tables = self.tables[which]
    out = []
    for branch, matrix in enumerate(old):
      s, f = np.nonzero(tables.exists.any(-1) & (tables.branch == branch))
      order = np.argsort(tables.row[s, f])
      s, f = s[order], f[order]
      new = rows[s, f, : matrix.shape[1]]
      if selected is not None:
        chosen = selected.is_selected[s, f]
        new = jnp.where(chosen[:, None], new, matrix)
      out.append(new)
    return tuple(out)

  def _guard(self, name: Callable[[int], str], features: int):
    """A bottleneck that runs if it is used; nothing without bottlenecks."""
    if not self.has_ports:
      return lambda is_used, params, stats, s, x: (x, None)
    port = self._port(name, features)

    def run(is_used, params, stats, s, x):
      def skip(params, stats, x):
        del params
        return jnp.zeros((*x.shape[:-1], features), x.dtype), stats

      return lax.cond(is_used, port, skip, _at(params, s), _at(stats, s), x)

    return run

  def _pull(self, name: Callable[[int], str], features: int):
    """The gradient of that: of its parameters and its input."""
    if not self.has_ports:
      return None
    port = self._port(name, features)

    def run(is_used, params, stats, s, x, dy):
      def pull(params, stats, x, dy):
        _, pull_back = jax.vjp(lambda p, x: port(p, stats, x)[0], params, x)
        return pull_back(dy)

      def skip(params, stats, x, dy):
        del stats, dy
        return jnp.zeros_like(params), jnp.zeros_like(x)

      return lax.cond(is_used, pull, skip, _at(params, s), _at(stats, s), x, dy)

    return run

  def backwards(
    self,
    inputs: tuple[Array, ...],
    params: Weights,
    stats: Weights,
    selection: Selection,
    sums: Array,
    dnodes: Array,
  ) -> tuple[tuple[Array, ...], Weights]:
    """Gradients of the inputs and the parameters, from that of the nodes."""
    xs = jnp.stack(inputs)
    channels, inner = xs.shape[-1], self.context.inner
    count = self.graph.num_nodes
    loop = [self._loop(which, params, stats) for which in (0, 1)]
    operands = [
      self._operands(which, params, stats, selection) for which in (0, 1)
    ]
    dmoved = [
      jnp.zeros((*tables.branch.shape, one.widths[0]), params.enter.dtype)
      for tables, one in zip(self.tables, loop, strict=True)
    ]

    enter, leave = (
      self._guard(width.reduce_name, inner),
      self._guard(width.expand_name, channels),
    )
    pull_enter, pull_leave = (
      self._pull(width.reduce_name, inner),
      self._pull(width.expand_name, channels),
    )

    def pull_node(i: Array, carry):
      s = count - 1 - i
      dsums, rows, denter, dleave = carry
      node, total = s + self.first, _at(sums, s)
      reached = selection.is_reached[s]
      read = selection.is_read[node]
      x, _ = leave(reached, params.leave, stats.leave, node, total)
      r, _ = enter(read, params.enter, stats.enter, node, x)
      if self.has_ports:
        dr, new = loops.backwards(
          loop[1], operands[1], s, r, jnp.zeros_like(r), dsums
        )
        row, dx = pull_enter(read, params.enter, stats.enter, node, x, dr)
        denter = _put(denter, row, node)
        row, dtotal = pull_leave(
          reached, params.leave, stats.leave, node, total, _at(dnodes, s) + dx
        )
        dleave = _put(dleave, row, node)
      else:
        dtotal, new = loops.backwards(
          loop[1], operands[1], s, r, _at(dsums, s), dsums
        )
      return _put(dsums, dtotal, s), _put(rows, new, s), denter, dleave

    def pull_input(s: Array, carry):
      dxs, rows, denter = carry
      x = _at(xs, s)
      read = selection.is_read[s]
      r, _ = enter(read, params.enter, stats.enter, s, x)
      dx, new = loops.backwards(
        loop[0], operands[0], s, r, jnp.zeros_like(r), dsums
      )
      if self.has_ports:
        row, dx = pull_enter(read, params.enter, stats.enter, s, x, dx)
        denter = _put(denter, row, s)
      return _put(dxs, dx, s), _put(rows, new, s), denter

    denter, dleave = jnp.zeros_like(params.enter), jnp.zeros_like(params.leave)
    dsums = jnp.zeros_like(sums) if self.has_ports else dnodes
    dsums, dmoved[1], denter, dleave = lax.fori_loop(
      0, count, pull_node, (dsums, dmoved[1], denter, dleave)
    )
    dxs, dmoved[0], denter = lax.fori_loop(
      0, self.first, pull_input, (jnp.zeros_like(xs), dmoved[0], denter)
    )
    dops = [
      self._gather(which, dmoved[which], params[which], None)
      for which in (0, 1)
    ]
    return tuple(dxs), Weights(dops[0], dops[1], denter, dleave)


def _at(stack: Array, index: Array) -> Array:
  return lax.dynamic_index_in_dim(stack, index, keepdims=False)


def _put(stack: Array, new: Array, index: Array) -> Array:
  return lax.dynamic_update_index_in_dim(stack, new, index, 0)
