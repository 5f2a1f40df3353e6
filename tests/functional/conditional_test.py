"""SPEC 4.3, E10 and E11: Gumbels given their argmax."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import conditional

EULER = 0.5772156649015329
NUM_DRAWS = 200_000
# Exponentials e = exp(-gumbel) at the edges of what SPEC 3.9 asks for.
EXTREMES = (1e-20, 1.0, 80.0)


@pytest.fixture
def oracle(shared, x64):
  with np.load(shared / "oracles" / "conditional_gumbel.npz") as file:
    return dict(file)


def gumbel_of(uniform):
  return jnp.asarray(-np.log(-np.log(uniform)))


def test_values_equal_the_oracle_for_every_largest_entry(oracle):
  num_rows, num_ops = oracle["v"].shape
  log_p = conditional.log_probabilities(jnp.asarray(oracle["logits"]))
  np.testing.assert_allclose(log_p, oracle["log_probs"], atol=1e-12)
  for k in range(num_ops):
    found = conditional.conditional_gumbel(
      jnp.tile(log_p[None], (num_rows, 1)),
      jnp.full((num_rows,), k),
      gumbel_of(oracle["v"]),
    )
    np.testing.assert_allclose(found, oracle["z_given_k"][k], atol=1e-10)
    assert np.all(np.argmax(found, axis=-1) == k)


@pytest.mark.parametrize("coupled", [True, False])
def test_mixture_over_the_largest_entry_is_unconditional_gumbel(
  oracle, coupled
):
  log_p = jnp.tile(jnp.asarray(oracle["log_probs"])[None], (NUM_DRAWS, 1))
  draw_key, noise_key = jax.random.split(jax.random.key(0))

  @jax.jit
  def draw():
    noise = jax.random.gumbel(draw_key, log_p.shape, log_p.dtype)
    index = jnp.argmax(log_p + noise, axis=-1)
    if not coupled:
      return index, conditional.sample_conditional_gumbel(
        noise_key, log_p, index
      )
    gumbel = conditional.coupled_gumbel(log_p, noise)
    return index, conditional.conditional_gumbel(log_p, index, gumbel)

  index, given = draw()
  assert np.all(np.argmax(given, axis=-1) == index)
  # Gumbel: mean log p + 0.5772, variance pi^2/6 = 1.6449, kurtosis 5.4: the
  # variance of a sample variance is (5.4 - 1) 1.6449^2 / N.
  spread = oracle["expected_var"] ** 0.5
  error = np.asarray(given).mean(0) - (oracle["log_probs"] + EULER)
  assert np.all(np.abs(error) < 4 * spread / NUM_DRAWS**0.5)
  error = np.asarray(given).var(0) - oracle["expected_var"]
  allowed = 4 * (4.4 / NUM_DRAWS) ** 0.5 * oracle["expected_var"]
  assert np.all(np.abs(error) < allowed)
  # Independent entries: no covariance.
  covariance = np.cov(np.asarray(given).T) - np.diag(np.asarray(given).var(0))
  np.fill_diagonal(covariance, 0)
  limit = 4 * oracle["expected_var"] / NUM_DRAWS**0.5
  assert np.all(np.abs(covariance) < limit)


def test_coupled_noise_is_gumbel_and_independent_of_the_largest_entry(oracle):
  log_p = jnp.tile(jnp.asarray(oracle["log_probs"])[None], (NUM_DRAWS, 1))
  noise = jax.random.gumbel(jax.random.key(1), log_p.shape, log_p.dtype)
  index = np.argmax(log_p + noise, axis=-1)
  uniform = np.exp(
    -np.exp(-np.asarray(conditional.coupled_gumbel(log_p, noise)))
  )
  for k in range(log_p.shape[-1]):
    given = uniform[index == k]
    error = given.mean(0) - 0.5  # a uniform has the variance 1/12
    assert np.all(np.abs(error) < 4 * (1 / 12 / len(given)) ** 0.5), k


def test_coupled_noise_gives_back_the_unconditional_value(x64):
  logits = jax.random.normal(jax.random.key(2), (500, 6), jnp.float64) * 3
  log_p = conditional.log_probabilities(logits)
  noise = jax.random.gumbel(jax.random.key(3), log_p.shape, log_p.dtype)
  found = conditional.conditional_gumbel(
    log_p,
    jnp.argmax(log_p + noise, axis=-1),
    conditional.coupled_gumbel(log_p, noise),
  )
  np.testing.assert_allclose(found, log_p + noise, rtol=0, atol=1e-12)


def test_gradient_is_zero_at_the_largest_entry_and_a_share_elsewhere(x64):
  log_p = conditional.log_probabilities(jnp.asarray([0.9, -0.4, 0.2, -1.7]))
  noise = jnp.asarray([0.3, 1.9, -0.6, 0.5])
  k = int(jnp.argmax(log_p + noise))
  jacobian = jax.jacobian(
    lambda log_p: conditional.conditional_gumbel(
      log_p, jnp.asarray(k), conditional.coupled_gumbel(log_p, noise)
    )
  )(log_p)
  # With e = exp(-gumbel): W = e_k/q_k, r = e - q W, share (r/q) / (r/q + W).
  q, e = np.exp(log_p), np.exp(-noise)
  w = e[k] / q[k]
  r = e - q * w
  share = (r / q) / (r / q + w)
  assert share[k] == 0
  np.testing.assert_allclose(jacobian, np.diag(share), atol=1e-12)


def test_values_and_gradients_are_finite_at_the_edges():
  # One entry of three draws the extreme exponential, in every place, where the
  # first and the last are rare: 27 rows, float32.
  rows = list(itertools.product([1e-30, 1e-10, 0.5], range(3), EXTREMES))
  log_p = jnp.log(jnp.asarray([[rare, 1, rare] for rare, _, _ in rows]))
  log_p = conditional.log_probabilities(log_p.astype(jnp.float32))
  noise = np.zeros(log_p.shape, np.float32)
  for row, (_, entry, exponential) in enumerate(rows):
    noise[row, entry] = -np.log(exponential)
  noise = jnp.asarray(noise)

  def coupled(log_p, noise):
    index = jnp.argmax(log_p + noise)
    gumbel = conditional.coupled_gumbel(log_p, noise)
    return conditional.conditional_gumbel(log_p, index, gumbel)

  def independent(log_p, noise, index):
    return conditional.conditional_gumbel(log_p, index, noise)

  values = jax.jit(jax.vmap(coupled))(log_p, noise)
  np.testing.assert_allclose(values, log_p + noise, rtol=1e-6, atol=1e-6)
  slopes = jax.jit(jax.vmap(jax.jacobian(coupled)))(log_p, noise)
  assert np.all((slopes >= 0) & (slopes <= 1))  # and so not NaN
  run = jax.jit(jax.vmap(jax.jacobian(independent), in_axes=(0, 0, None)))
  for index in range(3):
    assert np.all(np.isfinite(independent(log_p, noise, jnp.full(27, index))))
    slopes = run(log_p, noise, jnp.asarray(index))
    assert np.all((slopes >= 0) & (slopes <= 1))


def test_a_tie_with_the_largest_entry_has_no_gradient_and_no_nan():
  log_p = conditional.log_probabilities(jnp.zeros(3))
  noise = jnp.asarray([1.0, 1.0, 0.0])

  def perturbed(log_p):
    return conditional.conditional_gumbel(
      log_p, jnp.asarray(0), conditional.coupled_gumbel(log_p, noise)
    )

  np.testing.assert_allclose(perturbed(log_p), log_p + noise, rtol=1e-6)
  jacobian = np.asarray(jax.jacobian(perturbed)(log_p))
  # r = 0 at the tie; elsewhere r/q = e^0/q - e^-1/q, W = e^-1/q.
  expected = np.diag([0, 0, 1 - np.exp(-1)])
  np.testing.assert_allclose(jacobian, expected, atol=1e-6)


def test_masked_entries_are_as_if_they_were_not_there(x64):
  mask = jnp.asarray([[True, False, True, True], [False, False, False, True]])
  logits = jnp.asarray([[0.3, 9.0, -1.0, 0.4], [5.0, 6.0, 7.0, -2.0]])
  noise = jnp.asarray([[0.1, 30.0, 0.9, 0.2], [1.0, 2.0, 3.0, 4.0]])
  log_p = conditional.log_probabilities(logits, mask=mask)
  index = jnp.asarray([2, 3])

  def both(log_p):
    coupled = conditional.coupled_gumbel(log_p, noise, mask=mask)
    return [
      conditional.conditional_gumbel(log_p, index, gumbel, mask=mask)
      for gumbel in (noise, coupled)
    ]

  short = log_p[0, jnp.asarray([0, 2, 3])]
  short_noise = noise[0, jnp.asarray([0, 2, 3])]
  np.testing.assert_allclose(jnp.sum(jnp.exp(short)), 1, rtol=1e-12)
  for found, gumbel in zip(
    both(log_p),
    (short_noise, conditional.coupled_gumbel(short, short_noise)),
    strict=True,
  ):
    np.testing.assert_allclose(
      found[0, jnp.asarray([0, 2, 3])],
      conditional.conditional_gumbel(short, jnp.asarray(1), gumbel),
      rtol=1e-12,
    )
    assert np.all(np.isneginf(found)[~np.asarray(mask)])
  gradient = jax.grad(
    lambda logits: sum(
      jnp.sum(jnp.where(mask, found, 0))
      for found in both(conditional.log_probabilities(logits, mask=mask))
    )
  )(logits)
  assert np.all(np.isfinite(gradient))
  assert np.all(np.asarray(gradient)[~np.asarray(mask)] == 0)
