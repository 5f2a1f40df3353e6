"""The concrete (Gumbel-softmax) distribution: samples, density, hard forms.

A sample is the softmax of logits plus Gumbel noise over a temperature. At any
temperature its largest entry falls on operation k with probability
softmax(logits)_k; as the temperature goes to 0 the sample becomes one-hot.

Source: SNAS (arXiv:1812.09926), Eq. (5) and Appendix; SPEC 3.2.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from jnas.functional import numerics
from jnas.types import Array, PRNGKey


class ConcreteSample(NamedTuple):
  """One draw.

  Attributes:
    zeta: `[..., K]` relaxed sample, each row on the simplex.
    z: `[..., K]` the one-hot sample of the same noise.
    gumbels: `[..., K]` the noise.
  """

  zeta: Array
  z: Array
  gumbels: Array


def sample_concrete(
  key: PRNGKey,
  logits: Array,
  temperature: Array | float,
  *,
  mask: Array | None = None,
) -> ConcreteSample:
  """A relaxed and a one-hot sample for each row of logits.

  The relaxed sample is differentiable in the logits at fixed noise. A masked
  entry is 0 in both; a row without any allowed entry is all zeros.

  Source: SNAS, Eq. (5).

  Args:
    key: consumed.
    logits: `[..., K]` unnormalised log-probabilities.
    temperature: scalar above 0.
    mask: `[..., K]` booleans, True where the entry exists; None if all do.

  Returns:
    zeta, z and the Gumbel noise.
  """
  chex.assert_type(logits, float)
  gumbels = gumbel_noise(key, logits.shape, logits.dtype)
  return ConcreteSample(
    zeta=relax(logits, gumbels, temperature, mask=mask),
    z=harden(logits + gumbels, mask=mask),
    gumbels=gumbels,
  )


def gumbel_noise(key: PRNGKey, shape: Sequence[int], dtype: Any) -> Array:
  """Standard Gumbel noise, -log of an exponential variate.

  Source: SPEC 3.2: -log u is drawn directly, never formed from a clamped u.

  Args:
    key: consumed.
    shape: of the result.
    dtype: float32, or float64 where that is enabled.
  """
  waits = jax.random.exponential(key, tuple(shape), dtype)
  # The variate may be exactly 0, once in 2^23 draws; 1e-20 is far below the
  # next possible value and keeps the noise finite (46).
  return -jnp.log(jnp.maximum(waits, 1e-20))


def relax(
  logits: Array,
  gumbels: Array,
  temperature: Array | float,
  *,
  mask: Array | None = None,
) -> Array:
  """Concrete sample for given noise: softmax of (logits + noise) / T.

  Source: SNAS, Eq. (5).

  Args:
    logits: `[..., K]` unnormalised log-probabilities.
    gumbels: `[..., K]` noise.
    temperature: scalar above 0.
    mask: `[..., K]` booleans, True where the entry exists; None if all do.

  Returns:
    `[..., K]` weights, each row summing to 1.
  """
  chex.assert_equal_shape([logits, gumbels])
  perturbed = (logits + gumbels) / temperature
  return numerics.masked_softmax(perturbed, _fill_mask(mask, logits))


def log_relax(
  logits: Array,
  gumbels: Array,
  temperature: Array | float,
  *,
  mask: Array | None = None,
) -> Array:
  """Logarithm of `relax`, exact where the sample itself underflows to 0.

  Args:
    logits: `[..., K]` unnormalised log-probabilities.
    gumbels: `[..., K]` noise.
    temperature: scalar above 0.
    mask: `[..., K]` booleans, True where the entry exists; None if all do.

  Returns:
    `[..., K]` log-weights; -inf where masked.
  """
  chex.assert_equal_shape([logits, gumbels])
  perturbed = (logits + gumbels) / temperature
  return numerics.masked_log_softmax(perturbed, _fill_mask(mask, logits))


def harden(logits: Array, *, mask: Array | None = None) -> Array:
  """One-hot vector of the largest entry; of perturbed logits, a sample.

  Ties go to the lowest index. No gradient passes.

  Source: SPEC 3.2, z = onehot(argmax y).

  Args:
    logits: `[..., K]` logits, or logits plus Gumbel noise.
    mask: `[..., K]` booleans, True where the entry exists; None if all do.

  Returns:
    `[..., K]` zeros and ones of the logits' type; a row without any allowed
    entry is all zeros.
  """
  mask = _fill_mask(mask, logits)
  index = jnp.argmax(jnp.where(mask, logits, -jnp.inf), axis=-1)
  chosen = jax.nn.one_hot(index, logits.shape[-1], dtype=logits.dtype)
  return jnp.where(mask, chosen, 0)


def straight_through(relaxed: Array, one_hot: Array) -> Array:
  """Weights with the value of the one-hot, the gradient of the relaxed sample.

  The value is one-hot to the last bit, so that nothing of an operation that
  was not drawn enters the forward pass.

  Source: GDAS (arXiv:1910.04465), Sec. 3.2.

  Args:
    relaxed: `[..., K]` concrete sample.
    one_hot: `[..., K]` one-hot sample of the same noise.

  Returns:
    `[..., K]` weights.
  """
  chex.assert_equal_shape([relaxed, one_hot])
  fixed = jax.lax.stop_gradient(relaxed)
  return jax.lax.stop_gradient(one_hot) + (relaxed - fixed)


def log_density(
  log_relaxed: Array,
  logits: Array,
  temperature: Array | float,
  *,
  mask: Array | None = None,
) -> Array:
  """Log density on the simplex of each row of a concrete sample.

  It takes the logarithm of the sample: at low temperatures most entries of a
  sample underflow, their logarithms do not. The density's gradient in the
  logits is a score; stop the gradient of `log_relaxed` for that.

  Source: SNAS, Appendix (the density of the concrete distribution); SPEC 3.2.

  Args:
    log_relaxed: `[..., K]` logarithms of the sample; see `log_relax`.
    logits: `[..., K]` log alpha; a constant added to a row changes nothing.
    temperature: scalar above 0.
    mask: `[..., K]` booleans, True where the entry exists; None if all do.

  Returns:
    `[...]` log densities; 0 for a row with one entry or none.
  """
  chex.assert_equal_shape([log_relaxed, logits])
  mask = _fill_mask(mask, logits)
  log_x = jnp.where(mask, log_relaxed, 0)
  log_alpha = jnp.where(mask, logits, 0)
  count = jnp.maximum(jnp.sum(mask, axis=-1), 1)
  # By a table: the log-gamma of 1 is not quite 0 in float32.
  factors = jnp.maximum(jnp.arange(logits.shape[-1]), 1).astype(logits.dtype)
  log_factorial = jnp.cumsum(jnp.log(factors))[count - 1]
  count = count.astype(logits.dtype)
  scale = log_factorial + (count - 1) * jnp.log(temperature)
  terms = jnp.sum(log_alpha - (temperature + 1) * log_x, axis=-1)
  total = numerics.masked_logsumexp(log_alpha - temperature * log_x, mask)
  return scale + terms - count * total


def _fill_mask(mask: Array | None, logits: Array) -> Array:
  return jnp.ones(logits.shape, bool) if mask is None else mask
