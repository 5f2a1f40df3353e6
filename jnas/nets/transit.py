"""Transit cells: the derived connections alone, unweighted.

Three ways that give the same numbers. Masked, everything is computed and
multiplied by 0 or 1; selected, the connections are static; switched (see
`switch.py`), they are an array that branches are taken by.

Source: EnTranNAS, Sec. 2.2 and Eq. (6); SPEC 3.4.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jnas.nets import cell as cells
from jnas.nets import detached, switch, width
from jnas.nets import graph as graphs
from jnas.nets.context import Context
from jnas.types import Array


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
    path = context.path(group)
    params, stats = variables.read(*path)
    rows = range(1 if context.options.share_features else len(group.members))
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

  weights = graphs.scale_weights(structure, scales)
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
    path = context.path(group)
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
    ones = jnp.ones((len(structure), len(structure[0])))
    weights = graphs.split_weights(
      selected.graph, graphs.scale_weights(ones, scales)
    )
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
