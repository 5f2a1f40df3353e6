"""SPEC 4.3, E5 to E8, E16, E17: bias and variance of the estimators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import estimators
from tests.functional import chain2x3

NUM_DRAWS = 150_000
SIGMAS = 4


@pytest.fixture
def oracle(shared, x64):
  return chain2x3.load(shared)


@pytest.fixture
def phi(oracle):
  return jnp.asarray(oracle["phi"])


def draws_of(surrogate_fn, phi, seed):
  return chain2x3.estimates(surrogate_fn, phi, jax.random.key(seed), NUM_DRAWS)


def rebar(temperature, coupled):
  return lambda phi, key: estimators.rebar_surrogate(
    phi, key, chain2x3.loss, temperature=temperature, coupled=coupled
  )


def relax(surrogate_fn):
  return lambda phi, key: estimators.relax_surrogate(
    phi, key, chain2x3.latency, surrogate_fn, temperature=0.4
  )


def reinforce(fn, baseline=0.0):
  return lambda phi, key: estimators.reinforce_surrogate(phi, key, fn, baseline)


@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_reinforce_is_unbiased(oracle, phi, baseline):
  draws = draws_of(reinforce(chain2x3.loss, baseline), phi, seed=1)
  errors = chain2x3.standard_errors(draws, oracle["exact_grad"])
  assert np.all(errors < SIGMAS)


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("temperature", [0.1, 0.4, 1.0])
def test_rebar_is_unbiased_at_every_temperature(
  oracle, phi, temperature, coupled
):
  draws = draws_of(rebar(temperature, coupled), phi, seed=2)
  errors = chain2x3.standard_errors(draws, oracle["exact_grad"])
  assert np.all(errors < SIGMAS)
  if coupled:
    # The file's variance, of 400,000 draws.
    expected = oracle[f"mc_var_rebar_tau{temperature}"].sum()
    np.testing.assert_allclose(draws.var(0).sum(), expected, rtol=0.1)


def test_rebar_has_less_variance_than_reinforce_where_it_should(oracle, phi):
  plain = draws_of(reinforce(chain2x3.loss), phi, seed=3).var(0).sum()
  expected = oracle["mc_var_reinforce_tau0.4"].sum()
  np.testing.assert_allclose(plain, expected, rtol=0.1)
  # Not at 0.1, where the problem's variance is higher: SPEC E7.
  for temperature in (0.4, 1.0):
    assert draws_of(rebar(temperature, True), phi, seed=3).var(0).sum() < plain


def test_gumbel_softmax_alone_is_biased(oracle, phi):
  def surrogate(phi, key):
    return estimators.gs_surrogate(phi, key, chain2x3.loss, 0.4)

  draws = draws_of(surrogate, phi, seed=4)
  errors = chain2x3.standard_errors(draws, oracle["exact_grad"])
  assert errors.max() > 10
  # It is unbiased for the relaxed problem, whose gradient the file estimates.
  file_error = oracle["mc_se_term_iii_tau0.4"]
  error = draws.std(0) / NUM_DRAWS**0.5
  difference = np.abs(draws.mean(0) - oracle["mc_mean_term_iii_tau0.4"])
  assert np.all(difference < SIGMAS * np.hypot(error, file_error))


def test_straight_through_is_biased_and_evaluates_discrete_choices(oracle, phi):
  seen = []

  def loss(weights):
    jax.debug.callback(lambda w: seen.append(np.asarray(w)), weights)
    return chain2x3.loss(weights)

  def surrogate(phi, key, loss=chain2x3.loss):
    return estimators.straight_through_surrogate(phi, key, loss, 0.4)

  scalar, aux = surrogate(phi, jax.random.key(0), loss)
  jax.effects_barrier()
  assert sorted(set(np.unique(seen[0]))) == [0, 1]
  np.testing.assert_array_equal(seen[0], aux.one_hot)
  assert scalar == aux.loss_one_hot
  draws = draws_of(surrogate, phi, seed=5)
  assert chain2x3.standard_errors(draws, oracle["exact_grad"]).max() > 10


def test_relax_has_less_variance_than_reinforce(oracle, phi):
  draws = draws_of(relax(chain2x3.linear(oracle)), phi, seed=6)
  plain = draws_of(reinforce(chain2x3.latency), phi, seed=6)
  for estimates in (draws, plain):
    errors = chain2x3.standard_errors(estimates, oracle["lat_exact_grad"])
    assert np.all(errors < SIGMAS)
  np.testing.assert_allclose(draws.var(0).sum(), 0.2715, rtol=0.1)
  np.testing.assert_allclose(plain.var(0).sum(), 1.7196, rtol=0.1)


@pytest.mark.parametrize("factor", [0, -2])
def test_relax_is_unbiased_with_a_wrong_surrogate(oracle, phi, factor):
  linear = chain2x3.linear(oracle)
  draws = draws_of(relax(lambda weights: factor * linear(weights)), phi, seed=7)
  errors = chain2x3.standard_errors(draws, oracle["lat_exact_grad"])
  assert np.all(errors < SIGMAS)


def test_relax_without_a_surrogate_is_reinforce_of_the_same_key(oracle, phi):
  key = jax.random.key(8)
  plain = chain2x3.estimates(reinforce(chain2x3.latency), phi, key, 100)
  nothing = relax(lambda weights: 0 * jnp.sum(weights))
  np.testing.assert_array_equal(
    chain2x3.estimates(nothing, phi, key, 100), plain
  )


def test_a_measurement_on_the_host_gives_the_estimate_of_a_table(shared):
  # In single precision: the callback's thread knows nothing of `x64`.
  oracle = chain2x3.load(shared)
  phi = jnp.asarray(oracle["phi"])
  table = np.asarray(chain2x3.LATENCIES, np.float32)
  measured = []

  def measure(one_hot):
    index = np.argmax(one_hot, axis=-1)
    measured.append(index)
    return table[3 * index[..., 0] + index[..., 1]]

  def on_host(one_hot):
    shape = jax.ShapeDtypeStruct(one_hot.shape[:-2], one_hot.dtype)
    return jax.pure_callback(measure, shape, one_hot)

  def estimate(nondiff_fn):
    return jax.jit(
      jax.value_and_grad(
        lambda phi: estimators.relax_surrogate(
          phi,
          jax.random.key(9),
          nondiff_fn,
          chain2x3.linear(oracle),
          temperature=0.4,
          num_samples=20,
        )[0]
      )
    )(phi)

  for found, expected in zip(
    jax.tree.leaves(estimate(on_host)),
    jax.tree.leaves(estimate(chain2x3.latency)),
    strict=True,
  ):
    np.testing.assert_array_equal(found, expected)
  assert len(measured) == 1 and measured[0].shape == (20, 2)


@pytest.mark.parametrize("joint", [True, False])
def test_a_joint_loss_rewards_the_sum_of_the_scores(oracle, phi, joint):
  """E17: of f(z1, z2), with the mean of the scores the estimate is half."""
  table = jnp.asarray(oracle["losses"])

  def reward(one_hot):
    index = jnp.argmax(one_hot, axis=-1)
    first, second = table[3 * index[:, 0] + index[:, 1]]
    value = first * second + jnp.abs(first - second)
    return value if joint else jnp.stack([value, value])

  # E f over both architectures, 9 x 9.
  def expectation(phi):
    log_p = jax.nn.log_softmax(phi, axis=-1)
    probs = jnp.exp(log_p[0][:, None] + log_p[1][None]).reshape(-1)
    first, second = table[:, None], table[None]
    value = first * second + jnp.abs(first - second)
    return probs @ value @ probs

  def surrogate(phi, key):
    return estimators.reinforce_surrogate(phi, key, reward, 0.0, num_samples=2)

  exact = np.asarray(jax.grad(expectation)(phi))
  draws = draws_of(surrogate, phi, seed=10)
  target = exact if joint else exact / 2
  assert np.all(chain2x3.standard_errors(draws, target) < SIGMAS)
  if not joint:
    assert chain2x3.standard_errors(draws, exact).max() > 10


def test_rebar_of_a_joint_loss_is_unbiased(oracle, phi):
  def gap(weights):
    first, second = chain2x3.loss(weights)
    return (first - second) ** 2

  # E (x - y)^2 = 2 (E x^2 - (E x)^2) for independent x and y.
  def expectation(phi):
    log_p = jax.nn.log_softmax(phi, axis=-1)
    probs = jnp.exp(log_p[0][:, None] + log_p[1][None]).reshape(-1)
    losses = jnp.asarray(oracle["losses"])
    return 2 * (probs @ losses**2 - (probs @ losses) ** 2)

  def surrogate(phi, key):
    return estimators.rebar_surrogate(
      phi, key, gap, temperature=0.4, coupled=True, num_samples=2
    )

  draws = draws_of(surrogate, phi, seed=11)
  exact = np.asarray(jax.grad(expectation)(phi))
  assert np.all(chain2x3.standard_errors(draws, exact) < SIGMAS)


def test_gumbel_softmax_also_differentiates_what_the_loss_closes_over(phi):
  def scalar(scale):
    return estimators.gs_surrogate(
      phi, jax.random.key(0), lambda w: scale * chain2x3.loss(w), 0.4
    )[0]

  np.testing.assert_allclose(jax.grad(scalar)(3.0), scalar(1.0), rtol=1e-6)


def test_baseline_is_a_moving_average_of_past_losses():
  losses = jnp.asarray([1.0, 3.0])
  # 0.9 * 5 + 0.1 * 2
  found = estimators.update_baseline(5.0, losses, decay=0.9)
  np.testing.assert_allclose(found, 4.7, rtol=1e-6)
  slope = jax.grad(
    lambda losses: estimators.update_baseline(5.0, losses, decay=0.9)
  )(losses)
  assert np.all(slope == 0)
