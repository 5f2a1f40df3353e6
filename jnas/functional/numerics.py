"""Numerically safe forms of unsafe operations, each with its reason."""

import chex
import jax
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
  # Softmax does not depend on the shift; its gradient must not either.
  largest = jax.lax.stop_gradient(jnp.max(finite, axis=-1, keepdims=True))
  weights = jnp.where(mask, jnp.exp(jnp.where(mask, logits - largest, 0.0)), 0)
  return safe_divide(weights, jnp.sum(weights, axis=-1, keepdims=True))


def masked_logsumexp(logits: Array, mask: Array) -> Array:
  """Log of the sum of exponentials of the entries that the mask allows.

  Args:
    logits: `[..., K]`.
    mask: `[..., K]` booleans, True where the entry exists.

  Returns:
    `[...]`; 0, with gradient 0, for a row without any allowed entry.
  """
  chex.assert_equal_shape([logits, mask])
  finite = jnp.where(mask, logits, jnp.finfo(logits.dtype).min)
  largest = jax.lax.stop_gradient(jnp.max(finite, axis=-1, keepdims=True))
  shifted = jnp.where(mask, logits - largest, 0)
  total = jnp.sum(jnp.where(mask, jnp.exp(shifted), 0), axis=-1)
  # The largest entry contributes exp(0), so only an empty row sums to 0.
  safe = jnp.where(total > 0, total, 1)
  return jnp.where(total > 0, jnp.log(safe) + largest[..., 0], 0)


def masked_log_softmax(logits: Array, mask: Array) -> Array:
  """Logarithm of `masked_softmax`.

  Multiply by a one-hot through `where`, not `*`: 0 times -inf is no number.

  Args:
    logits: `[..., K]` unnormalised log-probabilities.
    mask: `[..., K]` booleans, True where the entry exists.

  Returns:
    `[..., K]` log-weights; -inf, with gradient 0, where masked.
  """
  chex.assert_equal_shape([logits, mask])
  allowed = jnp.where(mask, logits, 0)
  log_weights = allowed - masked_logsumexp(logits, mask)[..., None]
  return jnp.where(mask, log_weights, -jnp.inf)


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


@jax.custom_jvp
def normalize_rows(values: Array) -> Array:
  """Values over their sum along the last axis; a row of zeros stays zeros.

  Its derivative is written out because a row with a single positive entry is
  constant: autodiff would leave the difference of two rounded quotients there,
  large where the entry is small.

  Args:
    values: `[..., K]`, at least 0.

  Returns:
    `[..., K]`.
  """
  total = jnp.sum(values, axis=-1, keepdims=True)
  # Compiled, a quotient by a broadcast sum may be a product with its rounded
  # reciprocal, and then x / x is not 1.
  alone = (values == total) & (total > 0)
  return jnp.where(alone, 1, safe_divide(values, total))


@normalize_rows.defjvp
def _normalize_rows_jvp(primals, tangents):
  (values,), (step,) = primals, tangents
  total = jnp.sum(values, axis=-1, keepdims=True)
  shares = normalize_rows(values)
  # Divided first, so that the transpose subtracts first: exactly 0 there.
  relative = safe_divide(step, total)
  moved = jnp.sum(relative, axis=-1, keepdims=True)
  return shares, relative - shares * moved


def entropy(probs: Array) -> Array:
  """Shannon entropy in nats over the last axis, with `0 log 0 = 0`.

  Args:
    probs: `[..., K]` probabilities.

  Returns:
    `[...]` entropies.
  """
  safe = jnp.where(probs > 0, probs, 1)
  return -jnp.sum(jnp.where(probs > 0, probs * jnp.log(safe), 0), axis=-1)
