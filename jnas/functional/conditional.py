"""Gumbel-perturbed log-probabilities given which of them is the largest.

A categorical draw is the argmax of `log p + Gumbel noise`. REBAR's control
variate needs those perturbed log-probabilities *given* the draw, as a function
of the probabilities that can be differentiated at fixed noise.

Everything stays in log space: with Exp(1) variables e = exp(-gumbel), the
equations for e are those of the source.

Source: UNAS, Sec. 3.1, the conditional r(zeta | z) of Eq. (3); REBAR
(arXiv:1703.07370); SPEC 3.9, "stable form".
"""

import chex
import jax
import jax.numpy as jnp

from jnas.types import Array, PRNGKey


def conditional_gumbel(
  log_p: Array, index: Array, gumbel: Array, *, mask: Array | None = None
) -> Array:
  """Perturbed log-probabilities whose largest entry is the given one.

  With `index` drawn from p and `gumbel` independent of it, the result has the
  law of log p + Gumbel noise. It is differentiable in log_p at fixed index and
  noise: the largest entry does not depend on log_p, the others do.

  Source: UNAS, Eq. (3), r(zeta | z); SPEC 3.9, conditional Gumbels:
  -log(-log v_k) for the largest, -log(-log v_i / p_i - log v_k) for the rest,
  with v = exp(-exp(-gumbel)).

  Args:
    log_p: `[..., K]` log-probabilities, each row normalised; -inf where masked.
    index: `[...]` integers, the largest entry.
    gumbel: `[..., K]` standard Gumbel noise.
    mask: `[..., K]` booleans, True where the entry exists; all, if None.

  Returns:
    `[..., K]`: the largest entry is the one at `index` (another one may equal
    it where the difference rounds away); -inf where masked.
  """
  chex.assert_equal_shape([log_p, gumbel])
  chex.assert_equal_shape_prefix([index, log_p], log_p.ndim - 1)
  chex.assert_type([log_p, index], [float, int])
  exists = _as_mask(mask, log_p)
  chosen = jax.nn.one_hot(index, log_p.shape[-1], dtype=bool)
  # The largest of Gumbels located at log-probabilities is standard Gumbel.
  largest = jnp.sum(jnp.where(chosen, gumbel, 0), axis=-1, keepdims=True)
  # The others are Gumbels truncated at it. -inf is replaced before it is used:
  # its NaN would reach the gradient even where its value is not taken.
  safe_log_p = jnp.where(exists, log_p, 0)
  below = -jnp.logaddexp(-gumbel - safe_log_p, -largest)
  perturbed = jnp.where(chosen, largest, below)
  return jnp.where(exists, perturbed, -jnp.inf)


def coupled_gumbel(
  log_p: Array, gumbel: Array, *, mask: Array | None = None
) -> Array:
  """The noise for `conditional_gumbel` that gives back what was drawn.

  With index = argmax(log_p + gumbel), `conditional_gumbel(log_p, index,
  coupled_gumbel(log_p, gumbel))` equals `log_p + gumbel` in value, and differs
  in its derivative. The noise is standard Gumbel and independent of the index,
  so that an estimator needs one evaluation of its loss where independent noise
  would need two.

  Source: REBAR; SPEC 3.9, "coupling": log v_k = log u_k / p_k and
  log v_i = log u_i - p_i log v_k, here as -log v_i = e_i (1 - exp(y_i - y_k))
  with y = log_p + gumbel, which neither cancels nor overflows.

  Args:
    log_p: `[..., K]` log-probabilities, each row normalised; -inf where masked.
    gumbel: `[..., K]` standard Gumbel noise.
    mask: `[..., K]` booleans, True where the entry exists; all, if None.

  Returns:
    `[..., K]` noise, constant in the sense of differentiation; +inf (an
    exponential of 0) where an entry ties with the largest one.
  """
  chex.assert_equal_shape([log_p, gumbel])
  chex.assert_type(log_p, float)
  exists = _as_mask(mask, log_p)
  perturbed = jnp.where(exists, log_p + gumbel, jnp.finfo(log_p.dtype).min)
  largest = jnp.max(perturbed, axis=-1, keepdims=True)
  chosen = jax.nn.one_hot(
    jnp.argmax(perturbed, axis=-1), log_p.shape[-1], dtype=bool
  )
  rest = gumbel - jnp.log(-jnp.expm1(perturbed - largest))
  return jax.lax.stop_gradient(jnp.where(chosen, largest, rest))


def sample_conditional_gumbel(
  key: PRNGKey, logits: Array, index: Array, *, mask: Array | None = None
) -> Array:
  """`conditional_gumbel` of unnormalised logits with noise of its own.

  Source: as `conditional_gumbel`.

  Args:
    key: consumed.
    logits: `[..., K]` unnormalised log-probabilities.
    index: `[...]` integers, the largest entry.
    mask: `[..., K]` booleans, True where the entry exists; all, if None.

  Returns:
    `[..., K]` perturbed log-probabilities with their largest entry at `index`.
  """
  gumbel = jax.random.gumbel(key, logits.shape, logits.dtype)
  log_p = log_probabilities(logits, mask=mask)
  return conditional_gumbel(log_p, index, gumbel, mask=mask)


def log_probabilities(logits: Array, *, mask: Array | None = None) -> Array:
  """Log-softmax over the last axis among the entries that the mask allows.

  Source: SPEC 3.9, stable form: the logits must be normalised first.

  Args:
    logits: `[..., K]` unnormalised log-probabilities.
    mask: `[..., K]` booleans, True where the entry exists; all, if None.

  Returns:
    `[..., K]`; -inf, without a gradient, where masked.
  """
  chex.assert_type(logits, float)
  exists = _as_mask(mask, logits)
  # Finite operands: a row without any entry would be -inf - -inf.
  finite = jnp.where(exists, logits, jnp.finfo(logits.dtype).min)
  log_p = jax.nn.log_softmax(finite, axis=-1)
  return jnp.where(exists, log_p, -jnp.inf)


def _as_mask(mask: Array | None, like: Array) -> Array:
  if mask is None:
    return jnp.ones(like.shape, bool)
  chex.assert_equal_shape([mask, like])
  chex.assert_type(mask, bool)
  return jnp.asarray(mask)
