"""SPEC 4.5, G1 to G4: the sparse weights of EnTranNAS-DST."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jnas.functional import numerics, sparsify

TARGETS = np.repeat(np.arange(4), [2, 3, 4, 5])
MASK = np.ones((14, 5), bool)
MASK[3, 1:] = False  # an edge with one operation
MASK[7, 2] = MASK[0, 4] = False


@pytest.fixture
def oracle(shared):
  return np.load(shared / "oracles" / "dst_example.npz")


def oracle_loss(oracle, stop_gradient_max):
  node_of_edge = jnp.zeros(3, int)

  def loss(logits, beta):
    weights, sparsity = sparsify.dst_weights(
      logits,
      beta[None],
      float(oracle["tau"]),
      node_of_edge,
      stop_gradient_max=stop_gradient_max,
    )
    return jnp.sum(jnp.array(oracle["c"]) * weights), (weights, sparsity)

  return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


@pytest.mark.parametrize(
  ("stop", "tag"), [(False, "diffmax"), (True, "stopmax")]
)
def test_the_worked_example(oracle, x64, stop, tag):
  logits, beta = jnp.array(oracle["alpha"]), jnp.array(oracle["beta"])
  (value, (weights, sparsity)), (by_logits, by_beta) = oracle_loss(
    oracle, stop
  )(logits, beta)
  for found, expected in (
    (value, "loss"),
    (weights, "q_hat"),
    (sparsity.probs_ek, "p"),
    (sparsity.relative_ek, "p_hat"),
    (sparsity.threshold_n[0], "t"),
    (by_logits, f"grad_alpha_loss_{tag}"),
    (by_beta, f"grad_beta_loss_{tag}"),
  ):
    np.testing.assert_allclose(found, oracle[expected], rtol=0, atol=1e-10)
  np.testing.assert_array_equal(sparsity.active_ek, oracle["active"])
  penalty, by_beta = jax.value_and_grad(
    lambda beta: float(oracle["lam"]) * sparsify.threshold_penalty(beta[None])
  )(beta)
  np.testing.assert_allclose(penalty, oracle["reg"], atol=1e-10)
  np.testing.assert_allclose(
    by_beta, oracle[f"grad_beta_reg_{tag}"], atol=1e-10
  )


@pytest.mark.parametrize("tag", ["sparse", "dense"])
def test_a_node_with_one_connection_left_and_one_with_all(oracle, x64, tag):
  (_, (weights, _)), (by_logits, by_beta) = oracle_loss(oracle, False)(
    jnp.array(oracle["alpha"]), jnp.array(oracle[f"{tag}_beta"])
  )
  for found, name in (
    (weights, "q_hat"),
    (by_logits, "grad_alpha"),
    (by_beta, "grad_beta"),
  ):
    np.testing.assert_allclose(found, oracle[f"{tag}_{name}"], atol=1e-10)


@jax.jit
def forward_and_back(logits, beta, temperature, coefficients):
  """Weights, and gradients of their weighted sum."""

  def loss(logits, beta):
    weights, sparsity = sparsify.dst_weights(
      logits, beta, temperature, jnp.asarray(TARGETS), mask=jnp.asarray(MASK)
    )
    return jnp.sum(coefficients * weights), (weights, sparsity)

  return jax.grad(loss, argnums=(0, 1), has_aux=True)(logits, beta)


def check_invariants(logits, beta, temperature, seed=0):
  coefficients = np.random.default_rng(seed).normal(size=(14, 5))
  coefficients = coefficients.astype(np.float32)
  (by_logits, by_beta), (weights, sparsity) = jax.tree.map(
    np.asarray, forward_and_back(logits, beta, temperature, coefficients)
  )
  for array in (by_logits, by_beta, weights, *sparsity):
    assert np.all(np.isfinite(array))
  # 1. A node keeps a connection.
  for node in range(4):
    assert np.any(weights[TARGETS == node] > 0)
  # 2. The weights of an active edge sum to 1, the others are 0.
  active = np.any(sparsity.active_ek, axis=-1)
  np.testing.assert_allclose(weights.sum(-1), active, rtol=1e-5)
  assert np.all(weights >= 0) and np.all(weights[~MASK] == 0)
  # 4. A pruned edge hears nothing of the loss (G3), nor does padding.
  assert np.all(by_logits[~active] == 0) and np.all(by_logits[~MASK] == 0)
  # 5. Where each active edge of a node has one operation, nothing moves.
  for node in range(4):
    rows = TARGETS == node
    if np.all(sparsity.active_ek[rows].sum(-1) <= 1):
      assert by_beta[node] == 0 and np.all(by_logits[rows] == 0)
  return by_beta, weights, sparsity


def test_the_invariants_hold_on_a_thousand_random_cells():
  rng = np.random.default_rng(0)
  edge_cases = 0
  for draw in range(1000):
    scale = 10 ** rng.uniform(-3, 1.5)
    logits = (scale * rng.normal(size=(14, 5))).astype(np.float32)
    beta = rng.choice([-20, -3, 0, 3, 14, 20], size=4) + rng.normal(size=4)
    temperature = np.float32(10 ** rng.uniform(-3, 1))
    _, _, sparsity = check_invariants(
      logits, beta.astype(np.float32), temperature, draw
    )
    edge_cases += np.any(~np.any(sparsity.active_ek, axis=-1))
  assert 200 < edge_cases < 1000  # both kinds of cells were seen


few = hypothesis.settings(max_examples=100, deadline=None, derandomize=True)


@hypothesis.given(
  st.lists(st.sampled_from([-1.0, 0.0, 0.0, 2.0]), min_size=70, max_size=70),
  st.lists(st.sampled_from([-20.0, 0.0, 20.0]), min_size=4, max_size=4),
  st.sampled_from([1e-3, 0.1, 1.0, 5.0]),
)
@few
def test_the_invariants_hold_with_ties_and_extreme_thresholds(
  logits, beta, temperature
):
  check_invariants(
    np.array(logits, np.float32).reshape(14, 5),
    np.array(beta, np.float32),
    np.float32(temperature),
  )


@pytest.mark.parametrize("beta", [-20.0, 0.0, 20.0])
def test_fully_tied_logits_keep_all_connections(beta):
  # Edge 3 with its single operation is the strongest of node 1, so the other
  # edges into that node, at a fifth of it, survive thresholds below a fifth.
  _, weights, _ = check_invariants(
    np.zeros((14, 5), np.float32), np.full(4, beta, np.float32), np.float32(1)
  )
  assert np.all(weights[TARGETS == 3] > 0)
  assert np.all(weights[2] > 0) == (beta < -1)


def test_the_gradient_in_beta_is_the_closed_form(x64):
  rng = np.random.default_rng(1)
  for _ in range(20):
    logits, coefficients = rng.normal(size=(2, 14, 5))
    beta = rng.normal(size=4)
    (_, by_beta), (weights, sparsity) = jax.tree.map(
      np.asarray, forward_and_back(logits, beta, 1.3, coefficients)
    )
    active, t = sparsity.active_ek, sparsity.threshold_n
    kept = np.where(active, sparsity.relative_ek - t[TARGETS][:, None], 0)
    expected = np.zeros(4)
    for edge in np.flatnonzero(active.any(-1)):
      g, q_hat = coefficients[edge], weights[edge]
      total = g[active[edge]].sum() - active[edge].sum() * (g @ q_hat)
      node = TARGETS[edge]
      expected[node] -= t[node] * (1 - t[node]) * total / kept[edge].sum()
    np.testing.assert_allclose(by_beta, expected, atol=1e-9)


def test_the_gradient_agrees_with_finite_differences_away_from_kinks(x64):
  rng = np.random.default_rng(2)
  step, compared = 1e-6, 0
  for _ in range(10):
    logits, coefficients = rng.normal(size=(2, 14, 5))
    beta = rng.normal(size=4)
    (by_logits, by_beta), (_, sparsity) = jax.tree.map(
      np.asarray, forward_and_back(logits, beta, 0.9, coefficients)
    )
    gap = np.abs(sparsity.relative_ek - sparsity.threshold_n[TARGETS][:, None])
    if np.min(gap[MASK]) < 1e-4:
      continue
    compared += 1
    direction, beta_direction = rng.normal(size=(14, 5)), rng.normal(size=4)

    def value(
      sign,
      point=(logits, beta),
      along=(direction, beta_direction),
      scale=coefficients,
    ):
      moved = [p + sign * step * d for p, d in zip(point, along, strict=True)]
      _, (weights, _) = forward_and_back(*moved, 0.9, scale)
      return float(np.sum(scale * np.asarray(weights)))

    found = np.sum(by_logits * direction) + np.sum(by_beta * beta_direction)
    slope = (value(1) - value(-1)) / (2 * step)
    np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-7)
  assert compared >= 3


def test_the_penalty_pushes_thresholds_up():
  # -(1 - t) / N for each node
  beta = jnp.array([0.0, 2.0, -20.0, 20.0])
  grad = jax.grad(sparsify.threshold_penalty)(beta)
  expected = -(1 - jax.nn.sigmoid(beta)) / 4
  np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-9)
  np.testing.assert_allclose(
    sparsify.threshold_penalty(jnp.zeros(4)), 0.6931472, rtol=1e-6
  )


def test_vmap_over_cells_is_the_loop():
  rng = np.random.default_rng(3)
  logits = jnp.array(rng.normal(size=(3, 14, 5)), jnp.float32)
  beta = jnp.array(rng.normal(size=(3, 4)), jnp.float32)

  def weights(logits, beta):
    return sparsify.dst_weights(logits, beta, 1.0, jnp.asarray(TARGETS))[0]

  mapped = jax.jit(jax.vmap(weights))(logits, beta)
  for row in range(3):
    np.testing.assert_allclose(
      mapped[row], weights(logits[row], beta[row]), rtol=1e-6
    )


def test_without_thresholds_that_bite_the_weights_are_shifted_probabilities():
  # One node, one edge, p = (0.6, 0.4): p_hat = (1, 2/3), t = 0.5,
  # q = (1/2, 1/6), q_hat = (3/4, 1/4)
  logits = jnp.log(jnp.array([[0.6, 0.4]]))
  weights, _ = sparsify.dst_weights(
    logits, jnp.zeros(1), 1.0, jnp.zeros(1, int)
  )
  np.testing.assert_allclose(weights, [[0.75, 0.25]], rtol=1e-5)
  probs = numerics.masked_softmax(logits, jnp.ones((1, 2), bool))
  np.testing.assert_allclose(probs, [[0.6, 0.4]], rtol=1e-6)
