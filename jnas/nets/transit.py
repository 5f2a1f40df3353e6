"""Transit cells: the derived connections alone, unweighted.

Three ways that give the same numbers. Masked, everything is computed and
multiplied by 0 or 1; selected, the connections are static; switched (see
`switch.py`), they are an array that branches are taken by.

Source: EnTranNAS, Sec. 2.2 and Eq. (6); SPEC 3.4.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnas.nets import cell as cells
from jnas.nets import detached, drops, heads, macro, switch, width
from jnas.nets import graph as graphs
from jnas.nets.options import Options
from jnas.ops import Op, Settings
from jnas.types import Array, PRNGKey, PyTree


class Context(NamedTuple):
  """What the operations of one Transit cell have in common.

  Attributes:
    graph: all connections of the cell.
    plan: kind, channels and stride.
    settings: the network's.
    options: the supernet's.
    train: whether batch norms use the batch's statistics.
    noise: key of operations that draw, or None.
    drop_skip: `[]` probability of dropping an element of an identity, or None.
    drop_key: key of that, or None.
  """

  graph: graphs.CellGraph
  plan: macro.CellPlan
  settings: Settings
  options: Options
  train: bool
  noise: PRNGKey | None
  drop_skip: Array | None
  drop_key: PRNGKey | None

  @property
  def inner(self) -> int:
    """Channels of the operations."""
    return self.options.inner(self.plan.features)

  def stride_of(self, source: int) -> int:
    """Stride of the edges that leave a node."""
    return self.plan.stride if source < self.graph.num_inputs else 1

  def stack_of(self, group: graphs.Group) -> int:
    """Length of the stack axis of an operation's parameters."""
    return 1 if self.options.share_features else len(group.members)

  def run(
    self,
    group: graphs.Group,
    params: PyTree,
    stats: PyTree,
    x: Array,
    rows: Sequence[Any],
    index: Any = None,
  ) -> tuple[Array, PyTree]:
    """Runs an operation on some rows of its stack.

    Args:
      group: the operation.
      params: slices of its parameters.
      stats: slices of its batch statistics.
      x: `[B, H, W, D]`.
      rows: R integers, traced or not, which rows of the stack they are.
      index: integer, traced or not, of the group in the cell; None for that of
        `group`. Random draws depend on it and on the rows.

    Returns:
      `[R or 1, B, H', W', D]`, and the moved statistics.
    """
    op: Op = graphs.lookup(group.op)
    if index is None:
      names = [(other.source, other.op) for other in self.graph.groups]
      index = names.index((group.source, group.op))
    stride = self.stride_of(group.source)
    module = op.build(
      features=self.inner,
      stride=stride,
      targets=len(rows),
      settings=self.settings,
      parent=None,
    )
    noise = None
    if self.noise is not None:
      noise = jax.random.fold_in(self.noise, index)
      noise = jax.random.fold_in(noise, rows[0])
    y, moved = detached.apply(
      module, params, stats, x[None], train=self.train, noise=noise
    )
    if self.drop_skip is not None and op.is_identity and stride == 1:
      key = jax.random.fold_in(self.drop_key, index)
      y = jnp.stack(
        [
          drops.drop_elements(
            jax.random.fold_in(key, row), y[0], self.drop_skip
          )
          for row in rows
        ]
      )
    return y, moved

  def run_port(
    self, features: int, params: PyTree, stats: PyTree, x: Array
  ) -> tuple[Array, PyTree]:
    """A bottleneck's 1x1 convolution to so many channels."""
    module = heads.ReLUConvNorm(features, self.settings.affine, parent=None)
    return detached.apply(module, params, stats, x, train=self.train)


class TransitCell(cells.Cell):
  """A cell that computes the derived connections.

  It has all the variables of a `cell.Cell`, whose attributes it takes.
  """

  @nn.compact
  def __call__(  # type: ignore[override]
    self,
    before_last: Array,
    last: Array,
    structure: Any,
    *,
    train: bool,
    scales: Array | None = None,
    drop_skip: Array | None = None,
  ) -> Array:
    """Maps the outputs of the two cells before to this cell's output.

    Args:
      before_last: `[B, H, W, C1]`, or twice the size where `halve_first`.
      last: `[B, H, W, C2]`.
      structure: `[E, K]` zeros and ones; static in the mode `recompile`.
      train: whether batch norms use the batch's statistics.
      scales: `[B, E]` factors of the edges, or None.
      drop_skip: `[]` probability of dropping an element behind an identity, or
        None.

    Returns:
      `[B, H / stride, W / stride, C * len(concat)]`.
    """
    inputs = cells.preprocess(
      self.plan, self.settings, before_last, last, train
    )
    if self.is_initializing():
      return cells.mix(self, inputs, None, train=train)
    drops_skips = drop_skip is not None and train
    context = Context(
      graph=self.graph,
      plan=self.plan,
      settings=self.settings,
      options=self.options,
      train=train,
      noise=self.make_rng("noise") if self.has_rng("noise") else None,
      drop_skip=drop_skip if drops_skips else None,
      drop_key=self.make_rng("drop_skip") if drops_skips else None,
    )
    run = {"mask": _mask, "recompile": _select, "switch": switch.run}
    return run[self.options.transit](
      context, detached.Variables(self), inputs, structure, scales
    )


def _mask(
  context: Context,
  variables: detached.Variables,
  inputs: Sequence[Array],
  structure: Array,
  scales: Array | None,
) -> Array:
  """Computes everything, and multiplies by 0 or 1."""
  active = graphs.split_weights(context.graph, structure)

  def run(group: graphs.Group, x: Array) -> Array:
    path = graphs.node_name(group.source), graphs.module_name(group.op)
    params, stats = variables.read(*path)
    rows = range(context.stack_of(group))
    y, moved = context.run(group, params, stats, x, rows)
    moves = active[group.source, group.op] > 0
    variables.write(detached.keep(stats, moved, moves), *path)
    return y

  def port(name: str, features: int, x: Array, is_used: Array) -> Array:
    params, stats = variables.read(name)
    y, moved = context.run_port(features, params, stats, x)
    variables.write(detached.keep(stats, moved, is_used[None]), name)
    return jnp.where(is_used, y, 0)

  def used(touches) -> Array:
    return jnp.any(
      jnp.stack(
        [
          structure[member.edge, member.column] > 0
          for group in context.graph.groups
          for member in group.members
          if touches(group, member)
        ]
      )
    )

  def enter(source: int, x: Array) -> Array:
    is_used = used(lambda group, _: group.source == source)
    return port(width.reduce_name(source), context.inner, x, is_used)

  def leave(target: int, total: Array, nodes: Mapping[int, Array]) -> Array:
    del nodes
    is_used = used(lambda _, member: member.target == target)
    return port(
      width.expand_name(target), context.plan.features, total, is_used
    )

  weights = structure if scales is None else structure * scales[:, :, None]
  has_ports = context.options.bottleneck > 1
  return graphs.walk(
    context.graph,
    inputs,
    graphs.split_weights(context.graph, weights),
    run=run,
    stride=context.plan.stride,
    enter=enter if has_ports else None,
    leave=leave if has_ports else None,
  )


def _select(
  context: Context,
  variables: detached.Variables,
  inputs: Sequence[Array],
  structure: Sequence[Sequence[float]],
  scales: Array | None,
) -> Array:
  """Computes what a static structure names."""
  selected = graphs.select(context.graph, structure)

  def run(group: graphs.Group, x: Array) -> Array:
    path = graphs.node_name(group.source), graphs.module_name(group.op)
    params, stats = variables.read(*path)
    rows = selected.rows[group.source, group.op]
    if context.options.share_features:
      rows = (0,)
    y, moved = context.run(
      group, detached.take(params, rows), detached.take(stats, rows), x, rows
    )
    variables.write(detached.put(stats, moved, rows), *path)
    return y

  def port(name: str, features: int, x: Array) -> Array:
    params, stats = variables.read(name)
    y, moved = context.run_port(features, params, stats, x)
    variables.write(moved, name)
    return y

  def enter(source: int, x: Array) -> Array:
    return port(width.reduce_name(source), context.inner, x)

  def leave(target: int, total: Array, nodes: Mapping[int, Array]) -> Array:
    del nodes
    return port(width.expand_name(target), context.plan.features, total)

  weights = None
  if scales is not None:
    by_edge = jnp.broadcast_to(
      scales[:, :, None], (*scales.shape, len(structure[0]))
    )
    weights = graphs.split_weights(selected.graph, by_edge)
  has_ports = context.options.bottleneck > 1
  return graphs.walk(
    selected.graph,
    inputs,
    weights,
    run=run,
    stride=context.plan.stride,
    enter=enter if has_ports else None,
    leave=leave if has_ports else None,
  )
