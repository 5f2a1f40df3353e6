"""What PT has decided about a cell, and the mixing weights that follow.

Source: PT (arXiv:2108.04392), Algorithms 1 and 2; SPEC 3.6, "Masked weights".
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jnas.functional import projection
from jnas.types import Array


class Decisions(NamedTuple):
  """What is decided about the edges and nodes of a cell.

  Attributes:
    projected_e: `[E]` booleans, True for an edge whose operation is decided.
    op_e: `[E]` int32, that operation; -1 elsewhere.
    discarded_e: `[E]` booleans, True for an edge that is removed.
    settled_n: `[N]` booleans, True for an intermediate node whose edges are
      chosen.
  """

  projected_e: Array
  op_e: Array
  discarded_e: Array
  settled_n: Array


def undecided(*, num_edges: int, num_nodes: int) -> Decisions:
  """Nothing decided on any of E edges and N nodes."""
  # Arrays of their own: a donated state may not hold one buffer twice.
  return Decisions(
    projected_e=jnp.zeros(num_edges, bool),
    op_e=jnp.full(num_edges, -1, jnp.int32),
    discarded_e=jnp.zeros(num_edges, bool),
    settled_n=jnp.zeros(num_nodes, bool),
  )


def project(decisions: Decisions, edge: Array | int, op: Array | int):
  """The decisions with the operation of one more edge.

  Source: PT, Algorithm 1, "discretise edge e to o*".

  Args:
    decisions: before.
    edge: `[]` integer.
    op: `[]` integer.
  """
  return decisions._replace(
    projected_e=decisions.projected_e.at[edge].set(True),
    op_e=decisions.op_e.at[edge].set(op),
  )


def hold(weights: Array, decisions: Decisions) -> Array:
  """Mixing weights with the decisions in force; see `masked_weights`.

  Args:
    weights: `[E, K]`, or `[B, E, K]` where each example has its own.
    decisions: of the cell.

  Returns:
    Weights of the same shape: 1 or 0 on decided edges, which pass no gradient.
  """
  chex.assert_rank(weights, {2, 3})

  def of_one(weights_ek: Array) -> Array:
    return projection.masked_weights(
      weights_ek,
      decisions.projected_e,
      decisions.op_e,
      decisions.discarded_e,
    )

  return of_one(weights) if weights.ndim == 2 else jax.vmap(of_one)(weights)
