"""Why a trained supernet prefers skips: the mixture that fits best.

Two estimates of one optimal feature map m*, the output o(x) of a convolution
and the input x that a skip passes on, are mixed so that the error's variance
is least. The better of the two gets the larger weight, and in a deep, well
trained supernet x is nearly m* already.

Source: PT (arXiv:2108.04392), Proposition 1; SPEC 3.6.
"""

from typing import NamedTuple

import chex
import jax.numpy as jnp

from jnas.functional import numerics
from jnas.types import Array


class Errors(NamedTuple):
  """Second moments of the two estimates' errors.

  Attributes:
    var_conv: `[]` Var(o(x) - m*), A in the SPEC.
    var_skip: `[]` Var(x - m*), B.
    cov: `[]` Cov(o(x) - m*, x - m*), Gamma.
  """

  var_conv: Array
  var_skip: Array
  cov: Array


def feature_errors(conv: Array, skip: Array, optimal: Array) -> Errors:
  """Moments of the errors of two feature maps, over all their entries.

  Args:
    conv: o(x), any shape.
    skip: x, the same shape.
    optimal: m*, the same shape.
  """
  chex.assert_equal_shape([conv, skip, optimal])
  conv_error, skip_error = conv - optimal, skip - optimal
  conv_error = conv_error - jnp.mean(conv_error)
  skip_error = skip_error - jnp.mean(skip_error)
  return Errors(
    var_conv=jnp.mean(conv_error**2),
    var_skip=jnp.mean(skip_error**2),
    cov=jnp.mean(conv_error * skip_error),
  )


def mixture_variance(theta_conv: Array, errors: Errors) -> Array:
  """Var(theta_conv o(x) + theta_skip x - m*), the weights summing to 1.

  Args:
    theta_conv: `[]` weight of the convolution, in 0..1.
    errors: moments of the errors.
  """
  theta_skip = 1 - theta_conv
  return (
    theta_conv**2 * errors.var_conv
    + theta_skip**2 * errors.var_skip
    + 2 * theta_conv * theta_skip * errors.cov
  )


def optimal_mixture(errors: Errors) -> tuple[Array, Array]:
  """The weights (theta_conv, theta_skip) of least variance on the simplex.

  Source: PT, Proposition 1. Outside its premise, where the covariance exceeds
  a variance, the least is at a corner. Two equal estimates share the weight.

  Args:
    errors: moments of the errors.

  Returns:
    `[]` and `[]`, summing to 1.
  """
  gain = errors.var_skip - errors.cov
  # The variance of o(x) - x; 0 only if the two are equal up to a constant.
  spread = errors.var_conv + errors.var_skip - 2 * errors.cov
  theta = jnp.clip(numerics.safe_divide(gain, spread), 0, 1)
  theta_conv = jnp.where(spread > 0, theta, 0.5)
  return theta_conv, 1 - theta_conv


def optimal_logits(errors: Errors) -> tuple[Array, Array]:
  """Logits (a_conv, a_skip) whose softmax is the optimal mixture.

  Source: PT, Eqs. (3), (4), with the covariance that "proportional to" hides;
  the free constant C is 0.

  Args:
    errors: moments of the errors.

  Returns:
    `[]` and `[]`; -inf for an estimate that gets no weight.
  """
  return (
    _log_or_minus_inf(errors.var_skip - errors.cov),
    _log_or_minus_inf(errors.var_conv - errors.cov),
  )


def _log_or_minus_inf(value: Array) -> Array:
  safe = jnp.where(value > 0, value, 1)
  return jnp.where(value > 0, jnp.log(safe), -jnp.inf)
