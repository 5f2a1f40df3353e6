"""Discrete choices from mixing weights: which operation, which edges."""

import chex
import jax
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


def top_connections(
  weights_ek: Array,
  allowed_ek: Array,
  target_e: Array,
  *,
  num_connections: int,
  allow_same_edge: bool,
) -> Array:
  """The strongest connections into each node.

  Ties go to the lowest edge, then to the lowest operation.

  Source: EnTranNAS, Omega: the top-2 strongest elements of each node; SPEC 3.4.
  Choice: the paper cites the rule of DARTS, one operation on each of two
  edges; `allow_same_edge` reads it literally, over all connections.

  Args:
    weights_ek: `[E, K]` mixing weights.
    allowed_ek: `[E, K]` booleans, False for operations that may not be chosen.
    target_e: `[E]` integers, the node that the edge enters.
    num_connections: how many each node keeps; 2 in the paper.
    allow_same_edge: whether two of them may share an edge.

  Returns:
    `[E, K]` booleans, True for a kept connection.
  """
  chex.assert_equal_shape([weights_ek, allowed_ek])
  chex.assert_rank([weights_ek, target_e], [2, 1])
  num_ops = weights_ek.shape[1]
  if allow_same_edge:
    strength_ek = jnp.where(allowed_ek, weights_ek, -jnp.inf)
    rank = strongest_edges(
      strength_ek.reshape(-1),
      jnp.repeat(target_e, num_ops),
      num_edges=num_connections,
    )
    return rank.reshape(weights_ek.shape) >= 0
  op_e, strength_e = strongest_ops(weights_ek, allowed_ek)
  rank_e = strongest_edges(strength_e, target_e, num_edges=num_connections)
  return jax.nn.one_hot(op_e, num_ops, dtype=bool) & (rank_e >= 0)[:, None]


def argmax_connections(weights_ek: Array, mask_ek: Array) -> Array:
  """The strongest operation of every edge; `none` competes like the others.

  Ties go to the lowest index.

  Source: SNAS; SPEC 3.3, derivation: no rule on the number of edges.

  Args:
    weights_ek: `[E, K]` probabilities or logits.
    mask_ek: `[E, K]` booleans, True where the operation exists.

  Returns:
    `[E, K]` booleans, one True in each row that has an operation.
  """
  op_e, _ = strongest_ops(weights_ek, mask_ek)
  return jax.nn.one_hot(op_e, weights_ek.shape[1], dtype=bool) & mask_ek


def active_connections(weights_ek: Array) -> Array:
  """The connections that sparse mixing weights have left.

  Source: EnTranNAS, Eq. (10).

  Args:
    weights_ek: `[E, K]` weights of `sparsify.dst_weights`.

  Returns:
    `[E, K]` booleans.
  """
  chex.assert_rank(weights_ek, 2)
  return weights_ek > 0
