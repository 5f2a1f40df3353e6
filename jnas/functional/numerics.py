"""Numerically safe forms of unsafe operations, each with its reason."""

import chex
import jax.numpy as jnp

from jnas.types import Array


def masked_softmax(logits: Array, mask: Array) -> Array:
  """Softmax over the last axis among the entries that the mask allows.

  A masked entry gets weight 0 and passes no gradient. A row without any
  allowed entry is all zeros.

  Source: SPEC 3.0, ragged operation lists padded with a mask.

  Args:
    logits: `[..., K]` unnormalised log-probabilities.
    mask: `[..., K]` booleans, True where the entry exists.

  Returns:
    `[..., K]` weights; each row sums to 1, or to 0 where nothing is allowed.
  """
  chex.assert_equal_shape([logits, mask])
  # The operand is made safe first: -inf - -inf in a row without any entry
  # would put a NaN into the gradient even where its value is not taken.
  finite = jnp.where(mask, logits, jnp.finfo(logits.dtype).min)
  largest = jnp.max(finite, axis=-1, keepdims=True)
  weights = jnp.where(mask, jnp.exp(jnp.where(mask, logits - largest, 0.0)), 0)
  return safe_divide(weights, jnp.sum(weights, axis=-1, keepdims=True))


def safe_divide(numerator: Array, denominator: Array) -> Array:
  """Quotient that is 0, with gradient 0, where the denominator is 0.

  Args:
    numerator: any shape.
    denominator: a shape that broadcasts against the numerator's.

  Returns:
    The quotient, in the broadcast shape.
  """
  safe = jnp.where(denominator == 0, 1, denominator)
  return jnp.where(denominator == 0, 0, numerator / safe)


def entropy(probs: Array) -> Array:
  """Shannon entropy in nats over the last axis, with `0 log 0 = 0`.

  Args:
    probs: `[..., K]` probabilities.

  Returns:
    `[...]` entropies.
  """
  safe = jnp.where(probs > 0, probs, 1)
  return -jnp.sum(jnp.where(probs > 0, probs * jnp.log(safe), 0), axis=-1)
