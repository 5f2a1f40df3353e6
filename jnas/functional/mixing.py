"""Mixing weights from architecture parameters, and what they tell."""

import chex
import jax
import jax.numpy as jnp

from jnas.functional import numerics
from jnas.types import Array


def softmax_weights(
  logits_ek: Array, mask_ek: Array, *, temperature: Array | float
) -> Array:
  """Mixing weights of each edge: softmax of its logits over its operations.

  Source: DARTS, Eq. (2); EnTranNAS, Eq. (5) for the temperature.

  Args:
    logits_ek: `[E, K]` architecture parameters.
    mask_ek: `[E, K]` booleans, False where an edge has no such operation.
    temperature: scalar above 0; 1 in DARTS.

  Returns:
    `[E, K]` weights, each row summing to 1.
  """
  chex.assert_rank([logits_ek, mask_ek], [2, 2])
  return numerics.masked_softmax(logits_ek / temperature, mask_ek)


def relative_entropy(weights_ek: Array, mask_ek: Array) -> Array:
  """Mean over the edges of entropy / log(number of operations).

  An edge with a single operation has nothing to decide and is left out.

  Source: SNAS, Figure 4, each bar divided by its maximum.

  Args:
    weights_ek: `[E, K]` probabilities of each edge's operations.
    mask_ek: `[E, K]` booleans, True where the operation exists.

  Returns:
    `[]` in 0..1: 1 where every edge is undecided.
  """
  chex.assert_equal_shape([weights_ek, mask_ek])
  largest_e = jnp.log(jnp.sum(mask_ek, axis=-1).astype(weights_ek.dtype))
  share_e = numerics.safe_divide(numerics.entropy(weights_ek), largest_e)
  open_e = largest_e > 0
  return numerics.safe_divide(jnp.sum(share_e), jnp.sum(open_e))


def one_hot_weights(index_e: Array, num_ops: int) -> Array:
  """Weights that choose one operation on each edge, or none.

  Args:
    index_e: `[E]` integers, the operation of each edge; -1 for no operation.
    num_ops: K.

  Returns:
    `[E, K]` float32 zeros and ones.
  """
  chex.assert_rank(index_e, 1)
  return jax.nn.one_hot(index_e, num_ops, dtype=jnp.float32)
