"""EnTranNAS, Eqs. (5) to (11): one node with three edges, worked out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import derive, sparsify

LOGITS = jnp.array(
  [[1.2, 0.3, -0.5, 0.9], [0.1, 0.0, -0.2, 0.2], [1.0, 0.6, -1.5, -0.4]]
)
LOSS = jnp.array(
  [[0.7, -1.1, 0.4, 0.9], [0.3, 0.8, -0.6, 1.5], [-0.2, 0.5, 1.0, -0.9]]
)
BETA = jnp.array([0.45])
NODE = jnp.zeros(3, int)


def test_equations_5_and_7_to_10():
  weights, sparsity = sparsify.dst_weights(LOGITS, BETA, 1.0, NODE)
  np.testing.assert_allclose(
    sparsity.probs_ek,
    [
      [0.42917, 0.17449, 0.07840, 0.31794],
      [0.26661, 0.24124, 0.19751, 0.29465],
      [0.50025, 0.33533, 0.04106, 0.12336],
    ],
    atol=1e-5,
  )
  # Over the node's largest, 0.50025: 0.42917 / 0.50025 = 0.85791.
  np.testing.assert_allclose(
    sparsity.relative_ek[:, 0], [0.85791, 0.53295, 1.0], atol=1e-5
  )
  # sigmoid(0.45) = 0.610639 cuts the whole second edge. On the first,
  # 0.24727 and 0.02492 are left: 0.90845 and 0.09155.
  np.testing.assert_allclose(sparsity.threshold_n, [0.610639], atol=1e-6)
  expected = [[0.90845, 0, 0, 0.09155], [0] * 4, [0.86709, 0.13291, 0, 0]]
  np.testing.assert_allclose(weights, expected, atol=1e-5)
  np.testing.assert_array_equal(
    derive.active_connections(weights), np.array(expected) > 0
  )


@pytest.mark.parametrize(
  ("stop", "first", "last"),
  [
    (
      False,
      [-0.21501, -0.06395, -0.02874, 0.30770],
      [-1.08924, 1.02897, 0.01505, 0.04521],
    ),
    (
      True,
      [-0.21501, -0.06395, -0.02874, 0.30770],
      [-0.55680, 0.67171, -0.02870, -0.08621],
    ),
  ],
)
def test_gradients_in_both_readings_of_the_maximum(stop, first, last):
  def loss(logits, beta):
    weights, _ = sparsify.dst_weights(
      logits, beta, 1.0, NODE, stop_gradient_max=stop
    )
    return jnp.sum(LOSS * weights)

  value, (by_logits, by_beta) = jax.value_and_grad(loss, (0, 1))(LOGITS, BETA)
  np.testing.assert_allclose(value, 0.611345, atol=1e-6)
  np.testing.assert_allclose(by_beta, [-0.414827], atol=1e-5)
  np.testing.assert_allclose(by_logits, [first, [0] * 4, last], atol=2e-5)


def test_a_larger_weight_of_equation_11_leaves_fewer_connections():
  def train(sparsity_weight):
    def step(beta, _):
      penalty = jax.grad(sparsify.threshold_penalty)(beta)
      return beta - 0.2 * sparsity_weight * penalty, None

    beta, _ = jax.lax.scan(step, jnp.zeros(1), length=10)
    return jnp.sum(sparsify.dst_weights(LOGITS, beta, 1.0, NODE)[0] > 0)

  # Thresholds 0.5, 0.57 and 0.71; six relative weights are above the first,
  # 0.533 falls to the second, all but 1 and 0.858 to the third.
  counts = jax.jit(jax.vmap(train))(jnp.array([0.0, 0.3, 1.0]))
  np.testing.assert_array_equal(counts, [6, 5, 2])
