"""SPEC 4.2, D1c to D3c: SNAS's resource cost and its three gradients."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import costs, gumbel


def op_resources(name, side, channels):
  """SPEC 3.3: a sep conv is its four convolutions, a dil conv its two."""
  if name == "none":
    return costs.Resources()
  if name == "skip_connect":
    return costs.skip_resources(side, side, channels=channels)
  if "pool" in name:
    return costs.pool_resources(
      side, side, kernel=(3, 3), channels=channels, literal=False
    )
  conv = functools.partial(
    costs.conv_resources,
    side,
    side,
    in_channels=channels,
    out_channels=channels,
  )
  width = int(name[-1])
  depthwise = conv(kernel=(width, width), groups=channels)
  pair = depthwise.plus(conv(kernel=(1, 1), groups=1))
  return pair.plus(pair) if name.startswith("sep") else pair


@pytest.fixture
def oracle(shared):
  return np.load(shared / "oracles" / "snas_cost.npz")


def test_the_table_of_every_operation_is_the_oracles(oracle):
  side, channels = int(oracle["H"]), int(oracle["C"])
  table = [op_resources(str(name), side, channels) for name in oracle["prims"]]
  np.testing.assert_array_equal(np.array(table), oracle["table"])


def test_a_pool_counted_as_printed_is_a_dense_convolution():
  # 32 * 32 * 9 * 16 * 16
  pool = costs.pool_resources(32, 32, kernel=(3, 3), channels=16, literal=True)
  assert pool == costs.Resources(params=0, flops=2359296, mac=32768)


def test_channels_that_do_not_divide_into_groups_are_refused():
  with pytest.raises(ValueError, match="6 and 9 channels.*4 groups"):
    costs.conv_resources(
      8, 8, kernel=(1, 1), in_channels=6, out_channels=9, groups=4
    )


def test_penalties_by_hand():
  resources = jnp.array([[800.0, 819200.0, 131872.0], [0.0, 0.5, 32768.0]])
  # 0.43 (1600 + 204.8 + 1318.72) and 0.43 (0 + 0.000125 + 327.68)
  np.testing.assert_allclose(
    costs.linear_penalty(resources), [1343.1136, 140.90245], rtol=1e-6
  )
  # (6.684612 + 13.616083 + 11.789587) / 3 and ln(32768) / 3
  np.testing.assert_allclose(
    costs.log_penalty(resources), [10.696761, 3.465736], rtol=1e-6
  )
  grad = jax.grad(lambda r: costs.log_penalty(r).sum())(resources)
  np.testing.assert_allclose(grad[1], [0, 0, 1 / (3 * 32768)], rtol=1e-6)


def test_the_cost_is_the_mean_over_cells_of_the_sum_over_edges():
  weights = jnp.array([[0.25, 0.75], [1.0, 0.0]])
  # Two cells, two edges, two operations, one resource.
  table = jnp.array([[[4.0, 8.0], [1.0, 9.0]], [[2.0, 4.0], [3.0, 9.0]]])
  # Edge 0: 7 and 3.5, edge 1: 1 and 3.
  cost = costs.edge_costs(
    weights, table[..., None], combine=lambda r: r[..., 0]
  )
  np.testing.assert_allclose(cost, [5.25, 2.0])


def column(index):
  return lambda resources: resources[..., index]


def test_the_analytic_cost_is_the_enumeration_with_the_oracle_gradient(
  oracle, x64
):
  log_alpha, table = jnp.array(oracle["log_alpha"]), jnp.array(oracle["table"])
  table_ekr = jnp.broadcast_to(table, (2, *table.shape))
  probs = np.asarray(jax.nn.softmax(log_alpha, axis=-1))
  for index in range(3):
    analytic = functools.partial(
      costs.analytic_cost, resources_ekr=table_ekr, combine=column(index)
    )
    value, grad = jax.value_and_grad(analytic)(log_alpha)
    listed = sum(
      probs[0, a] * probs[1, b] * (table[a, index] + table[b, index])
      for a, b in itertools.product(range(8), range(8))
    )
    np.testing.assert_allclose(value, oracle["expected"][index], rtol=1e-12)
    np.testing.assert_allclose(value, listed, rtol=1e-9)
    np.testing.assert_allclose(
      grad, oracle["grad_log_alpha"][..., index], rtol=1e-9
    )


def test_one_hot_samples_cost_the_analytic_cost_on_average(oracle):
  num_draws = 100_000
  logits = jnp.array(oracle["log_alpha"], jnp.float32)
  table = jnp.array(oracle["table"][None] / oracle["table"].max(0), jnp.float32)
  table = jnp.broadcast_to(table, (2, 8, 3))
  batch = jnp.broadcast_to(logits, (num_draws, 2, 8))
  z = gumbel.sample_concrete(jax.random.key(0), batch, 1.0).z
  for index in range(3):
    cost = jax.jit(
      jax.vmap(
        lambda z, i=index: costs.reparam_cost(z, table, combine=column(i))
      )
    )(z)
    exact = costs.analytic_cost(logits, table, combine=column(index))
    assert abs(cost.mean() - exact) < 4 * cost.std() / num_draws**0.5


def draw_gradients(logits, table, temperature, *, num_draws, **options):
  """Gradients of both estimators for the same draws, `[S, E, K]` each."""
  combine = options.pop("combine")

  def by_score(logits, gumbels):
    return costs.policy_gradient_cost(
      logits, gumbels, temperature, table, combine=combine, **options
    )

  def by_sample(logits, gumbels):
    relaxed = gumbel.relax(logits, gumbels, temperature)
    return costs.reparam_cost(relaxed, table, combine=combine)

  gumbels = gumbel.gumbel_noise(
    jax.random.key(1), (num_draws, *logits.shape), logits.dtype
  )
  return tuple(
    np.asarray(jax.jit(jax.vmap(jax.grad(fn), (None, 0)))(logits, gumbels))
    for fn in (by_score, by_sample)
  )


@pytest.mark.parametrize("temperature", [0.05, 0.5])
@pytest.mark.parametrize("combine", ["flops", "log"])
def test_score_and_reparametrised_gradients_have_the_same_mean(
  oracle, temperature, combine
):
  table = oracle["table"]
  if combine == "flops":
    table = table / table.max(0)
  table = jnp.broadcast_to(jnp.array(table, jnp.float32), (2, 8, 3))
  score, sample = draw_gradients(
    jnp.array(oracle["log_alpha"], jnp.float32),
    table,
    temperature,
    num_draws=100_000,
    combine=column(1) if combine == "flops" else costs.log_penalty,
    mean_baseline=False,
  )
  variance = score.var(0) + sample.var(0)
  error = score.mean(0) - sample.mean(0)
  assert np.all(np.abs(error) < 4 * (variance / len(score)) ** 0.5)


def test_both_gradients_approach_the_exact_one_only_at_low_temperature(oracle):
  largest = oracle["table"].max(0)[1]
  table = jnp.array(oracle["table"] / largest, jnp.float32)
  table = jnp.broadcast_to(table, (2, 8, 3))
  exact = oracle["grad_log_alpha"][..., 1] / largest
  logits = jnp.array(oracle["log_alpha"], jnp.float32)
  draw = functools.partial(
    draw_gradients, logits, table, combine=column(1), mean_baseline=False
  )
  for found in draw(0.05, num_draws=400_000):
    error = np.abs(found.mean(0) - exact).max()
    assert error < 0.05 * np.abs(exact).max()
  for found in draw(0.5, num_draws=100_000):
    error = np.abs(found.mean(0) - exact).max()
    assert 0.1 * np.abs(exact).max() < error < 0.2 * np.abs(exact).max()


def test_the_mean_baseline_scales_the_mean_and_lowers_the_variance(oracle):
  table = jnp.array(oracle["table"], jnp.float32)
  table = jnp.broadcast_to(table, (2, 8, 3))
  logits = jnp.array(oracle["log_alpha"], jnp.float32)
  draw = functools.partial(
    draw_gradients,
    logits,
    table,
    0.5,
    combine=costs.log_penalty,
    num_draws=100_000,
  )
  plain, sample = draw(mean_baseline=False)
  based, _ = draw(mean_baseline=True)
  assert based.var(0).sum() < plain.var(0).sum()
  # Two edges: the mean holds half of the edge's own cost.
  error = based.mean(0) - sample.mean(0) / 2
  variance = based.var(0) + sample.var(0) / 4
  assert np.all(np.abs(error) < 4 * (variance / len(based)) ** 0.5)


def test_the_value_of_the_score_form_is_the_cost_of_the_sample():
  logits = jnp.array([[0.2, -0.4], [0.0, 1.0]])
  noise = gumbel.gumbel_noise(jax.random.key(2), (2, 2), jnp.float32)
  table = jnp.array([[[1.0], [3.0]], [[2.0], [5.0]]])
  value = costs.policy_gradient_cost(
    logits, noise, 0.5, table, combine=column(0), mean_baseline=True
  )
  relaxed = gumbel.relax(logits, noise, 0.5)
  expected = costs.reparam_cost(relaxed, table, combine=column(0))
  np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("temperature", [1e-3, 1.0])
def test_gradients_are_finite_and_masked_operations_cost_nothing(temperature):
  logits = jnp.array([[40.0, -40.0, 0.0], [0.0, 0.0, 7.0]])
  mask = jnp.array([[True, True, True], [True, False, False]])
  table = jnp.full((2, 3, 3), 1e5).at[0, 1].set(0.0)
  noise = gumbel.gumbel_noise(jax.random.key(3), (50, 2, 3), jnp.float32)

  def analytic(logits, gumbels):
    del gumbels
    return costs.analytic_cost(
      logits, table, combine=costs.log_penalty, mask=mask
    )

  def score(logits, gumbels):
    return costs.policy_gradient_cost(
      logits,
      gumbels,
      temperature,
      table,
      combine=costs.log_penalty,
      mean_baseline=False,
      mask=mask,
    )

  for fn in (analytic, score):
    value_and_grad = jax.jit(jax.vmap(jax.value_and_grad(fn), (None, 0)))
    values, grads = value_and_grad(logits, noise)
    assert jnp.all(jnp.isfinite(values)) and jnp.all(jnp.isfinite(grads))
    assert jnp.all(grads[:, 1] == 0)
