"""The bottlenecks of a Transit cell, which run where they are used."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jnas.nets.loops import at, put
from jnas.types import Array


class Port(NamedTuple):
  """A bottleneck of every node, which runs where it is used.

  Attributes:
    apply: a function of `(params [Q], stats [P], x)`; None for no bottleneck.
    params: `[S, Q]`.
    stats: `[S, P]`.
    is_used: `[S]` booleans.
  """

  apply: Callable | None
  params: Any
  stats: Any
  is_used: Array

  def __call__(self, s: Any, x: Array) -> tuple[Array, Array]:
    """Its output, zero where it is not used, and the moved statistics."""
    stats = at(self.stats, s)
    if self.apply is None:
      return x, stats
    params = at(self.params, s)
    shape, _ = jax.eval_shape(self.apply, params, stats, x)

    def skip(params: Any, stats: Any, x: Array) -> tuple[Array, Array]:
      del params, x
      return jnp.zeros(shape.shape, shape.dtype), stats

    return lax.cond(at(self.is_used, s), self.apply, skip, params, stats, x)

  def pull(self, s: Any, x: Array, dy: Array) -> tuple[Array, Array]:
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


class Ports(NamedTuple):
  """What lies between a slot's sum and what its operations read.

  The slots of input nodes hold what is read, and nothing lies between.

  Attributes:
    enter: before the operations of every node.
    leave: behind those that enter an inner node.
    first: the first inner node.
    base: the node of the first slot.
    channels: of the nodes.
  """

  enter: Port
  leave: Port
  first: int
  base: int
  channels: int

  def index(self, s: Any) -> Array:
    """Position of a slot's node among the inner ones."""
    return jnp.maximum(s + self.base - self.first, 0)

  def through(
    self, s: Any, total: Array, entered: Array, left: Array
  ) -> tuple[Array, Array, Array, Array]:
    """The node, what its operations read, and the moved statistics."""
    if self.enter.apply is None:
      return total, total, entered, left
    index, at_node = self.index(s), s + self.base

    def run(total: Array, entered: Array, left: Array):
      node, row = self.leave(index, total)
      left = put(left, row, index)
      x, row = self.enter(at_node, node)
      return node, x, put(entered, row, at_node), left

    def skip(total: Array, entered: Array, left: Array):
      shape = (*total.shape[:-1], self.channels)
      return jnp.zeros(shape, total.dtype), total, entered, left

    return self._if_inner(s, run, skip, total, entered, left)

  def pull_through(
    self,
    s: Any,
    total: Array,
    node: Array,
    dx: Array,
    dnodes: Any,
    dentered: Array,
    dleft: Array,
  ) -> tuple[Array, Array, Array]:
    """Gradients of the sum and the bottlenecks, from that of what is read."""
    if self.enter.apply is None:
      return dx, dentered, dleft
    index, at_node = self.index(s), s + self.base

    def run(dx: Array, dentered: Array, dleft: Array):
      row, dnode = self.enter.pull(at_node, node, dx)
      dentered = put(dentered, row, at_node)
      row, dtotal = self.leave.pull(index, total, dnode + at(dnodes, index))
      return dtotal, dentered, put(dleft, row, index)

    def skip(dx: Array, dentered: Array, dleft: Array):
      return dx, dentered, dleft

    return self._if_inner(s, run, skip, dx, dentered, dleft)

  def _if_inner(self, s: Any, run: Callable, skip: Callable, *args):
    if self.base == self.first:
      return run(*args)
    return lax.cond(s >= self.first, run, skip, *args)
