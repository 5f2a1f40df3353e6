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

from jnas.nets.schedule import Schedule
from jnas.types import Array, PyTree

# Applies an operation: `(params [Q], stats [P], x [B, H, W, D], group, row,
# keys)` to `[B, H', W', D]` and the moved statistics, Q and P its own or more.
Branch = Callable[..., tuple[Array, Array]]


class Operands(NamedTuple):
  """Arrays of a stage that its loops read.

  Attributes:
    params: `[S, F, Q]` of each feature.
    stats: `[S, F, P]` likewise.
    schedule: what is selected.
    scales: `[B, E]` factors of the edges, or None.
    keys: of random draws.
  """

  params: Array
  stats: Array
  schedule: Schedule
  scales: Array | None
  keys: PyTree


def forwards(
  branches: list[Branch], operands: Operands, s: Array, x: Array, sums: Array
) -> tuple[Array, Array]:
  """Adds what leaves a node to the nodes it enters.

  Args:
    branches: of the stage.
    operands: its arrays.
    s: `[]` position of the node in the stage.
    x: `[B, H, W, D]`, what its operations read.
    sums: `[N, B, H', W', D]`, of the nodes that can be entered.

  Returns:
    The sums, and the statistics `[F, P]`, moved where an operation ran.
  """
  params, stats = at(operands.params, s), at(operands.stats, s)
  if not branches:
    return sums, stats
  schedule = jax.tree.map(lambda leaf: at(leaf, s), operands.schedule)

  def turn(i: Array, carry: tuple[Array, Array]):
    sums, stats = carry
    branch, f, group, row = at(schedule.turns, i)
    entries, count = at(schedule.entries, i), at(schedule.num_entries, i)
    y, moved = lax.switch(
      branch,
      branches,
      at(params, f),
      at(stats, f),
      x,
      group,
      row,
      operands.keys,
    )

    def add(i: Array, sums: Array) -> Array:
      target, edge, _ = at(entries, i)
      return put(sums, at(sums, target) + _scale(operands, edge, y), target)

    return lax.fori_loop(0, count, add, sums), put(stats, moved, f)

  return lax.fori_loop(0, schedule.num_turns, turn, (sums, stats))


def backwards(
  branches: list[Branch],
  operands: Operands,
  s: Array,
  x: Array,
  dx: Array,
  dsums: Array,
) -> tuple[Array, Array]:
  """The gradient of `forwards`.

  Args:
    branches: of the stage.
    operands: its arrays.
    s: `[]` position of the node in the stage.
    x: `[B, H, W, D]`, what its operations read.
    dx: its gradient so far.
    dsums: `[N, B, H', W', D]`, gradients of the sums.

  Returns:
    dx, complete, and the gradients of the parameters, `[F, Q]`.
  """
  params, stats = at(operands.params, s), at(operands.stats, s)
  if not branches:
    return dx, jnp.zeros_like(params)
  schedule = jax.tree.map(lambda leaf: at(leaf, s), operands.schedule)

  def turn(i: Array, carry: tuple[Array, Array]):
    dx, dparams = carry
    branch, f, group, row = at(schedule.turns, i)
    entries, count = at(schedule.entries, i), at(schedule.num_entries, i)

    def pull(i: Any) -> Array:
      target, edge, _ = at(entries, i)
      return _scale(operands, edge, at(dsums, target))

    dy = lax.fori_loop(1, count, lambda i, dy: dy + pull(i), pull(0))
    row_gradient, more = lax.switch(
      branch,
      [_transpose(branch) for branch in branches],
      *(at(params, f), at(stats, f), x, group, row, operands.keys, dy),
    )
    return dx + more, put(dparams, row_gradient, f)

  return lax.fori_loop(
    0, schedule.num_turns, turn, (dx, jnp.zeros_like(params))
  )


def _transpose(branch: Branch) -> Callable[..., Any]:
  """Gradients of parameters and input, from that of the output."""

  def run(params, stats, x, group, row, keys, dy):
    def output(params: Array, x: Array) -> Array:
      return branch(params, stats, x, group, row, keys)[0]

    return jax.vjp(output, params, x)[1](dy)

  return run


def _scale(operands: Operands, edge: Array, y: Array) -> Array:
  if operands.scales is None:
    return y
  factors = lax.dynamic_index_in_dim(operands.scales, edge, 1)
  return y * factors[:, :, None, None].astype(y.dtype)


def zeros(shape: Sequence[int], after: Array) -> Array:
  """Zeros for a loop to fill, made only when other images are there.

  Zeros that depend on nothing XLA makes at the start of a program, one array
  for all loops of its shape, and copies it for each: they lie there until the
  last loop has run. So these depend on a number of each example, in a way that
  XLA does not see through: two shifts leave nothing of its bits.

  Args:
    shape: `(N, B, H, W, C)`.
    after: `[M, B, H', W', C']`, of the type of the zeros.
  """
  numbers = after[:1, :, :1, :1, :1].astype(jnp.float32)
  bits = lax.bitcast_convert_type(numbers, jnp.uint32)
  sign = lax.shift_right_logical(bits, jnp.uint32(31))
  nothing = lax.shift_right_logical(sign, jnp.uint32(1))
  return jnp.broadcast_to(nothing.astype(after.dtype), tuple(shape))


def at(stack: Array, index: Any) -> Array:
  """Entry of the leading axis, which is in range."""
  return lax.dynamic_index_in_dim(stack, index, keepdims=False)


def put(stack: Array, new: Array, index: Any) -> Array:
  """The stack with an entry of the leading axis replaced."""
  return lax.dynamic_update_index_in_dim(stack, new, index, 0)
