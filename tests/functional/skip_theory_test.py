"""SPEC 4.6, H10: Proposition 1 of PT."""

import jax
import jax.numpy as jnp
import numpy as np

from jnas.functional import skip_theory


def test_the_closed_form_minimises_the_variance_of_random_mixtures(x64):
  def check(key):
    keys = jax.random.split(key, 4)
    optimal, noise_conv, noise_skip = (
      jax.random.normal(k, (50,)) for k in keys[:3]
    )
    scale_conv, scale_skip = jax.random.uniform(keys[3], (2,), minval=0.1)
    conv = optimal + scale_conv * noise_conv + 0.3
    skip = optimal + scale_skip * noise_skip + 0.2 * noise_conv
    errors = skip_theory.feature_errors(conv, skip, optimal)
    theta, rest = skip_theory.optimal_mixture(errors)
    # Against the variance of the mixture itself on a grid.
    grid = jnp.linspace(0, 1, 10_001)
    variance = jax.vmap(lambda t: jnp.var(t * conv + (1 - t) * skip - optimal))(
      grid
    )
    by_formula = skip_theory.mixture_variance(theta, errors)
    return theta, rest, errors, grid[jnp.argmin(variance)], by_formula, variance

  keys = jax.random.split(jax.random.key(0), 50)
  theta, rest, errors, best, value, variance = jax.jit(jax.vmap(check))(keys)
  np.testing.assert_allclose(theta, best, atol=1e-4)
  np.testing.assert_allclose(theta + rest, 1, rtol=1e-12)
  np.testing.assert_allclose(value, variance.min(-1), rtol=1e-6)
  inside = (errors.var_conv > errors.cov) & (errors.var_skip > errors.cov)
  assert 0.5 < inside.mean() < 1  # corners were seen too
  logits = jnp.stack(skip_theory.optimal_logits(errors), axis=-1)
  np.testing.assert_allclose(
    jax.nn.softmax(logits, axis=-1)[:, 0], theta, atol=1e-12
  )


def test_the_closed_form_by_hand():
  # A = 4, B = 1, Gamma = 0.5: 0.5 / 4 and 3.5 / 4
  errors = skip_theory.Errors(*map(jnp.array, (4.0, 1.0, 0.5)))
  theta_conv, theta_skip = skip_theory.optimal_mixture(errors)
  np.testing.assert_allclose([theta_conv, theta_skip], [0.125, 0.875])
  # 4 / 64 + 49 / 64 + 2 * 7 / 64 * 0.5 = 60 / 64
  np.testing.assert_allclose(
    skip_theory.mixture_variance(theta_conv, errors), 60 / 64
  )


def test_skip_dominates_as_the_input_approaches_the_optimum():
  def theta_skip(var_skip):
    errors = skip_theory.Errors(jnp.array(1.0), var_skip, jnp.array(0.0))
    return skip_theory.optimal_mixture(errors)[1]

  shares = jax.vmap(theta_skip)(jnp.array([2.0, 1.0, 0.1, 0.0]))
  np.testing.assert_allclose(shares, [1 / 3, 1 / 2, 1 / 1.1, 1], rtol=1e-6)


def test_equal_estimates_share_and_gradients_are_finite_at_the_edges():
  for case in ((1.0, 1.0, 1.0), (1.0, 0.2, 0.2), (0.0, 0.0, 0.0)):
    errors = skip_theory.Errors(*map(jnp.array, case))
    grad = jax.grad(lambda e: skip_theory.optimal_mixture(e)[0])(errors)
    assert all(jnp.isfinite(g) for g in grad)
  errors = skip_theory.Errors(*map(jnp.array, (1.0, 1.0, 1.0)))
  assert skip_theory.optimal_mixture(errors) == (0.5, 0.5)
  errors = skip_theory.Errors(*map(jnp.array, (1.0, 0.2, 0.2)))
  assert skip_theory.optimal_logits(errors)[0] == -jnp.inf
