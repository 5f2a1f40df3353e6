"""Discrete choices from mixing weights: which operation, which edges."""

import chex
import jax.numpy as jnp

from jnas.types import Array


def strongest_ops(weights_ek: Array, allowed_ek: Array) -> tuple[Array, Array]:
  """The strongest allowed operation of each edge and its weight.

  Ties go to the lowest index.

  Source: DARTS, Sec. 2.4.

  Args:
    weights_ek: `[E, K]` mixing weights.
    allowed_ek: `[E, K]` booleans, False for operations that may not be chosen
      (`none`, padding of a ragged list).

  Returns:
    `[E]` operation indices and `[E]` their weights; an edge without any
    allowed operation has weight -inf.
  """
  chex.assert_equal_shape([weights_ek, allowed_ek])
  strength_ek = jnp.where(allowed_ek, weights_ek, -jnp.inf)
  return jnp.argmax(strength_ek, axis=-1), jnp.max(strength_ek, axis=-1)


def strongest_edges(
  strength_e: Array, target_e: Array, *, num_edges: int
) -> Array:
  """Rank of each edge among the edges into its target, cut at `num_edges`.

  Ties go to the lowest edge index. An edge of strength -inf is never kept.

  Source: DARTS, Sec. 2.4: the k strongest predecessors of each node.

  Args:
    strength_e: `[E]` strength of each edge.
    target_e: `[E]` integers, the node that the edge enters.
    num_edges: how many edges each node keeps; 2 in DARTS.

  Returns:
    `[E]` integers: 0 for the strongest edge of its node, 1 for the next one,
    and so on; -1 for an edge that is not kept.
  """
  chex.assert_equal_shape([strength_e, target_e])
  chex.assert_rank(strength_e, 1)
  index_e = jnp.arange(strength_e.shape[0])
  rival_ee = target_e[:, None] == target_e[None, :]
  stronger_ee = strength_e[None, :] > strength_e[:, None]
  earlier_ee = (strength_e[None, :] == strength_e[:, None]) & (
    index_e[None, :] < index_e[:, None]
  )
  rank_e = jnp.sum(rival_ee & (stronger_ee | earlier_ee), axis=-1)
  kept_e = (rank_e < num_edges) & (strength_e > -jnp.inf)
  return jnp.where(kept_e, rank_e, -1)
