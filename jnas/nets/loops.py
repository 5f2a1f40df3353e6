"""Loops over the operations that leave a node, forwards and backwards.

Each turn branches to one operation that some connection selects, so that the
others cost nothing, and adds its output to the nodes it enters. Backwards, the
operation is computed again: nothing is stored for each turn.

Source: DESIGN.md, section 4, "a zero weight saves nothing under jit".
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jnas.nets import packing
from jnas.nets.schedule import Schedule, Tables
from jnas.types import Array, PyTree


class Loop(NamedTuple):
  """A stage with what its loops need; static.

  Attributes:
    tables: its layout in numbers.
    run: applies a branch: `(branch, index, position, params [Q], stats [P],
      x [B, H, W, D], keys)` to `[B, H', W', D]` and the moved statistics.
    widths: longest Q and longest P.
  """

  tables: Tables
  run: Callable[..., tuple[Array, Array]]
  widths: tuple[int, int]


class Operands(NamedTuple):
  """Arrays of a stage that its loops read.

  Attributes:
    params: of each branch `[R, Q]`.
    stats: of each branch `[R, P]`.
    schedule: what is selected.
    scales: `[B, E]` factors of the edges, or None.
    keys: of random draws.
  """

  params: tuple[Array, ...]
  stats: tuple[Array, ...]
  schedule: Schedule
  scales: Array | None
  keys: PyTree


def forwards(
  loop: Loop, operands: Operands, s: Array, x: Array, sums: Array
) -> tuple[Array, Array]:
  """Adds what leaves a node to the nodes it enters.

  Args:
    loop: the stage.
    operands: its arrays.
    s: `[]` position of the node in the stage.
    x: `[B, H, W, D]`, what its operations read.
    sums: `[N, B, H', W', D]`, of the nodes that can be entered.

  Returns:
    The sums, and the moved statistics `[F, P]` of the node's operations, zero
    for those that did not run.
  """

  def add_feature(i: Array, carry: tuple[Array, Array]):
    sums, moved = carry
    f = operands.schedule.features[s, i]
    y, row = _branch(loop, operands, s, f, _run_forwards(loop), x)

    def add_member(i: Array, sums: Array) -> Array:
      target, edge = _member(loop, operands, s, f, i)
      total = _at(sums, target) + _scale(operands, edge, y)
      return lax.dynamic_update_index_in_dim(sums, total, target, 0)

    count = operands.schedule.num_members[s, f]
    sums = lax.fori_loop(0, count, add_member, sums)
    return sums, lax.dynamic_update_index_in_dim(moved, row, f, 0)

  if not operands.params:
    return sums, jnp.zeros((0, 0))
  moved = jnp.zeros(
    (loop.tables.branch.shape[1], loop.widths[1]), _dtype(operands.stats)
  )
  return lax.fori_loop(
    0, operands.schedule.num_features[s], add_feature, (sums, moved)
  )


def backwards(
  loop: Loop, operands: Operands, s: Array, x: Array, dx: Array, dsums: Array
) -> tuple[Array, Array]:
  """The gradient of `forwards`.

  Args:
    loop: the stage.
    operands: its arrays.
    s: `[]` position of the node in the stage.
    x: `[B, H, W, D]`, what its operations read.
    dx: its gradient so far.
    dsums: `[N, B, H', W', D]`, gradients of the sums.

  Returns:
    dx, complete, and the gradients of parameters `[F, Q]`.
  """

  def pull_feature(i: Array, carry: tuple[Array, Array]):
    dx, dparams = carry
    f = operands.schedule.features[s, i]

    def add_member(i: Array, dy: Array) -> Array:
      target, edge = _member(loop, operands, s, f, i)
      return dy + _scale(operands, edge, _at(dsums, target))

    target, edge = _member(loop, operands, s, f, 0)
    dy = _scale(operands, edge, _at(dsums, target))
    count = operands.schedule.num_members[s, f]
    dy = lax.fori_loop(1, count, add_member, dy)
    more, row = _branch(loop, operands, s, f, _run_backwards(loop), x, dy)
    return dx + more, lax.dynamic_update_index_in_dim(dparams, row, f, 0)

  if not operands.params:
    return dx, jnp.zeros((0, 0))
  dparams = jnp.zeros(
    (loop.tables.branch.shape[1], loop.widths[0]), _dtype(operands.params)
  )
  return lax.fori_loop(
    0, operands.schedule.num_features[s], pull_feature, (dx, dparams)
  )


def _branch(
  loop: Loop, operands: Operands, s: Array, f: Array, run: Callable, *args
) -> Any:
  """Branches to the operation of a feature."""
  tables = loop.tables
  row, index, position = (
    jnp.asarray(table)[s, f]
    for table in (tables.row, tables.group, tables.position)
  )

  def choose(branch: int):
    def call(row, index, position, *args):
      params, stats = (
        _at(operands.params[branch], row),
        _at(operands.stats[branch], row),
      )
      return run(branch, index, position, params, stats, operands.keys, *args)

    return call

  branches = [choose(branch) for branch in range(len(operands.params))]
  which = jnp.asarray(tables.branch)[s, f]
  return lax.switch(which, branches, row, index, position, *args)


def _run_forwards(loop: Loop) -> Callable:
  def run(branch, index, position, params, stats, keys, x):
    y, moved = loop.run(branch, index, position, params, stats, x, keys)
    return y, packing.widen(moved, loop.widths[1])

  return run


def _run_backwards(loop: Loop) -> Callable:
  def run(branch, index, position, params, stats, keys, x, dy):
    _, pull_back = jax.vjp(
      lambda params, x: loop.run(
        branch, index, position, params, stats, x, keys
      )[0],
      params,
      x,
    )
    dparams, dx = pull_back(dy)
    return dx, packing.widen(dparams, loop.widths[0])

  return run


def _member(loop: Loop, operands: Operands, s: Array, f: Array, i: Array):
  """Target and edge of a feature's selected edge."""
  m = operands.schedule.members[s, f, i]
  target, edge = (
    jnp.asarray(table)[s, f, m]
    for table in (loop.tables.target, loop.tables.edge)
  )
  return target, edge


def _at(stack: Array, index: Array) -> Array:
  return lax.dynamic_index_in_dim(stack, index, keepdims=False)


def _scale(operands: Operands, edge: Array, y: Array) -> Array:
  if operands.scales is None:
    return y
  return y * operands.scales[:, edge, None, None, None].astype(y.dtype)


def _dtype(matrices: Sequence[Array]):
  return jnp.result_type(jnp.float32, *matrices)
