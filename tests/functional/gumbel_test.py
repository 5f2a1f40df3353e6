"""SPEC 4.2, B1 to B5: concrete samples and their density."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import gumbel


@pytest.fixture
def oracle(shared):
  return np.load(shared / "oracles" / "concrete.npz")


@pytest.mark.parametrize("temperature", [2.0, 1.0, 0.3, 0.03])
def test_relaxed_samples_are_the_oracles(oracle, x64, temperature):
  gumbels = jnp.array(oracle["gumbel"])
  logits = jnp.broadcast_to(jnp.log(oracle["alpha"]), gumbels.shape)
  found = gumbel.relax(logits, gumbels, temperature)
  expected = oracle[f"z_lam{temperature}"]
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
  logs = gumbel.log_relax(logits, gumbels, temperature)
  np.testing.assert_allclose(jnp.exp(logs), expected, rtol=0, atol=1e-10)


def test_log_density_is_the_oracles(oracle, x64):
  log_x = jnp.log(oracle["points"])
  logits = jnp.broadcast_to(jnp.log(oracle["alpha"]), log_x.shape)
  for row, temperature in enumerate(oracle["lams"]):
    found = gumbel.log_density(log_x, logits, float(temperature))
    expected = oracle["log_density"][row]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_log_density_by_hand(x64):
  # Two equal entries at T = 1: the uniform density on 0..1, log 1 = 0.
  x = jnp.log(jnp.array([0.3, 0.7]))
  np.testing.assert_allclose(
    gumbel.log_density(x, jnp.zeros(2), 1.0), 0.0, atol=1e-12
  )


def test_log_density_integrates_to_one(x64):
  # The midpoint rule over the first of two entries.
  x = (jnp.arange(20_000) + 0.5) / 20_000
  points = jnp.log(jnp.stack([x, 1 - x], axis=-1))
  logits = jnp.broadcast_to(jnp.array([0.4, -0.3]), points.shape)
  density = jnp.exp(gumbel.log_density(points, logits, 0.8))
  np.testing.assert_allclose(jnp.mean(density), 1.0, rtol=1e-3)


@pytest.mark.parametrize("temperature", [0.1, 5.0])
def test_the_argmax_has_the_softmax_law_at_any_temperature(temperature):
  num_draws = 100_000
  logits = jnp.array([0.5, -0.3, 1.2, 0.0])
  batch = jnp.broadcast_to(logits, (num_draws, 4))
  sample = gumbel.sample_concrete(jax.random.key(0), batch, temperature)
  probs = np.asarray(jax.nn.softmax(logits))
  error = np.asarray(sample.z.mean(0)) - probs
  assert np.all(abs(error) < 4 * (probs * (1 - probs) / num_draws) ** 0.5)
  # The relaxed sample has its largest entry there too.
  assert jnp.all(jnp.argmax(sample.zeta, -1) == jnp.argmax(sample.z, -1))


def test_the_mean_of_a_two_way_concrete_is_the_quadrature(oracle):
  num_draws = 200_000
  logits = jnp.array([np.log(oracle["two_way_ratio"]), 0.0], jnp.float32)
  batch = jnp.broadcast_to(logits, (num_draws, 2))
  first = gumbel.sample_concrete(
    jax.random.key(1), batch, float(oracle["two_way_lam"])
  ).zeta[:, 0]
  error = abs(float(first.mean()) - float(oracle["two_way_mean"]))
  assert error < 4 * float(first.std()) / num_draws**0.5


@pytest.mark.parametrize(
  ("temperature", "num_ops", "expected"),
  [(0.003, 3, 0.986), (0.003, 8, 0.981), (0.03, 3, 0.87), (0.03, 8, 0.83)],
)
def test_samples_are_nearly_one_hot_at_low_temperature(
  temperature, num_ops, expected
):
  logits = jnp.zeros((20_000, num_ops))
  sample = gumbel.sample_concrete(jax.random.key(2), logits, temperature)
  share = float(jnp.mean(jnp.max(sample.zeta, axis=-1) > 0.999))
  # The figures of the SPEC have three and two digits.
  assert abs(share - expected) < 0.012


@pytest.mark.parametrize("temperature", [1e-4, 1e-3, 1.0])
def test_values_and_gradients_are_finite_at_low_temperature(temperature):
  def loss(logits, key):
    sample = gumbel.sample_concrete(key, logits, temperature)
    return jnp.sum(sample.zeta * jnp.arange(8.0)[None])

  logits = jnp.array([[-50.0, 0, 0, 0, 1, 2, 3, 50.0], [0.0] * 8])
  keys = jax.random.split(jax.random.key(3), 200)
  value_and_grad = jax.jit(jax.vmap(jax.value_and_grad(loss), (None, 0)))
  values, grads = value_and_grad(logits, keys)
  assert jnp.all(jnp.isfinite(values)) and jnp.all(jnp.isfinite(grads))


def test_the_score_is_finite_where_the_sample_underflows():
  logits = jnp.zeros((500, 8))
  temperature = 1e-3
  gumbels = gumbel.gumbel_noise(jax.random.key(4), (500, 8), jnp.float32)
  log_x = gumbel.log_relax(logits, gumbels, temperature)
  assert jnp.any(jnp.exp(log_x) == 0)

  def total(logits):
    return jnp.sum(gumbel.log_density(log_x, logits, temperature))

  # By hand: d log p / d l_k = 1 - K softmax(l - T log x)_k, and -T log x is
  # -g up to a constant, so the score does not depend on the temperature.
  expected = 1 - 8 * jax.nn.softmax(-gumbels, axis=-1)
  found = jax.jit(jax.grad(total))(logits)
  np.testing.assert_allclose(found, expected, atol=5e-3)


def test_masked_entries_have_no_weight_no_gradient_and_no_nan():
  logits = jnp.array([[0.3, -jnp.inf, 1.0], [-jnp.inf] * 3, [0.0, 9.0, 9.0]])
  mask = jnp.array([[1, 0, 1], [0, 0, 0], [1, 0, 0]], bool)
  gumbels = gumbel.gumbel_noise(jax.random.key(5), (3, 3), jnp.float32)

  def loss(logits):
    zeta = gumbel.relax(logits, gumbels, 0.5, mask=mask)
    log_x = jax.lax.stop_gradient(
      gumbel.log_relax(logits, gumbels, 0.5, mask=mask)
    )
    density = gumbel.log_density(log_x, logits, 0.5, mask=mask)
    return jnp.sum(zeta[:, 0]) + jnp.sum(density), (zeta, density)

  value_and_grad = jax.jit(jax.value_and_grad(loss, has_aux=True))
  (_, (zeta, density)), grad = value_and_grad(logits)
  assert jnp.all(jnp.where(mask, 0, zeta) == 0)
  np.testing.assert_allclose(zeta.sum(-1), [1, 0, 1], rtol=1e-6)
  # Two entries as if the third did not exist; no entry or one: certain.
  kept = jnp.array([0, 2])
  alone = gumbel.relax(logits[0, kept], gumbels[0, kept], 0.5)
  np.testing.assert_allclose(zeta[0, kept], alone, rtol=1e-6)
  pair = gumbel.log_density(jnp.log(alone), logits[0, kept], 0.5)
  np.testing.assert_allclose(density, [pair, 0, 0], rtol=1e-5)
  assert jnp.all(jnp.isfinite(grad))
  assert jnp.all(jnp.where(mask, 0, grad) == 0)
  sample = gumbel.sample_concrete(jax.random.key(6), logits, 0.5, mask=mask)
  np.testing.assert_array_equal(sample.z[1:], [[0, 0, 0], [1, 0, 0]])
  assert sample.z[0, 1] == 0


def test_straight_through_is_one_hot_to_the_bit_with_the_relaxed_gradient():
  logits = jnp.array([[0.1, 0.2, 0.7]])
  coefficients = jnp.array([[1.0, -2.0, 0.5]])
  noise = gumbel.gumbel_noise(jax.random.key(7), (1, 3), jnp.float32)

  def hard(logits):
    relaxed = gumbel.relax(logits, noise, 0.7)
    weights = gumbel.straight_through(relaxed, gumbel.harden(logits + noise))
    return jnp.sum(weights * coefficients), weights

  def soft(logits):
    return jnp.sum(gumbel.relax(logits, noise, 0.7) * coefficients)

  grad, weights = jax.grad(hard, has_aux=True)(logits)
  assert sorted(weights[0].tolist()) == [0, 0, 1]
  np.testing.assert_array_equal(grad, jax.grad(soft)(logits))


def test_sampling_is_the_same_under_jit_and_row_by_row_under_vmap():
  logits = jax.random.normal(jax.random.key(8), (5, 4, 3))
  key = jax.random.key(9)
  draw = functools.partial(gumbel.sample_concrete, temperature=0.6)
  for found, expected in zip(
    jax.jit(draw)(key, logits), draw(key, logits), strict=True
  ):
    np.testing.assert_allclose(found, expected, rtol=1e-6)
  keys = jax.random.split(key, 5)
  mapped = jax.jit(jax.vmap(draw))(keys, logits)
  for row in range(5):
    one = draw(keys[row], logits[row])
    np.testing.assert_allclose(mapped.zeta[row], one.zeta, rtol=1e-6)
