"""SNAS, Eqs. (5) to (8) and (35) to (40), with numbers worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from jnas.functional import costs, credit, gumbel


def test_the_search_gradient_and_the_credit_of_one_edge():
  # Noise that makes y = l + g = (0, ln 2) T at T = 0.5: Z = (1/3, 2/3).
  logits = jnp.array([[0.3, -0.1]])
  gumbels = 0.5 * jnp.log(jnp.array([[1.0, 2.0]])) - logits
  outputs = jnp.array([3.0, 6.0])  # of the two operations, dL/dx = 1

  def loss(logits):
    return jnp.sum(gumbel.relax(logits, gumbels, 0.5) * outputs[None])

  z = gumbel.relax(logits, gumbels, 0.5)
  np.testing.assert_allclose(z, [[1 / 3, 2 / 3]], rtol=1e-6)
  # Eq. (6): (s_k - sum s Z) Z_k / T with sum s Z = 5: -2/3/0.5, 1 * 2/3/0.5
  np.testing.assert_allclose(
    jax.grad(loss)(logits), [[-4 / 3, 4 / 3]], rtol=1e-5
  )
  # Eq. (8): minus the loss that the edge passes on.
  credit_e, credit_ek = credit.snas_credit(outputs[None], z)
  np.testing.assert_allclose(credit_e, [-5], rtol=1e-6)
  np.testing.assert_allclose(credit_ek, [[-3, -6]])


def test_the_density_worked_by_hand():
  # K = 2, T = 1, alpha = (1, 3), x = (1/4, 3/4): 1 * alpha_1 alpha_2 /
  # (x_1 x_2)^2 / (alpha_1 / x_1 + alpha_2 / x_2)^2
  # = 3 * (16/3)^2 / (4 + 4)^2 = 4/3
  found = gumbel.log_density(
    jnp.log(jnp.array([0.25, 0.75])), jnp.log(jnp.array([1.0, 3.0])), 1.0
  )
  np.testing.assert_allclose(found, np.log(4 / 3), rtol=1e-5)


def test_resources_of_a_separable_convolution():
  # C = 16, 32x32. Depthwise 3x3: 9 * 16 weights, each used 1,024 times;
  # reads and writes 1,024 * 32. Pointwise: 256 weights.
  depthwise = costs.conv_resources(
    32, 32, kernel=(3, 3), in_channels=16, out_channels=16, groups=16
  )
  assert depthwise == costs.Resources(144, 147_456, 32_912)
  pointwise = costs.conv_resources(
    32, 32, kernel=(1, 1), in_channels=16, out_channels=16, groups=1
  )
  assert pointwise == costs.Resources(256, 262_144, 33_024)
  both_twice = depthwise.plus(pointwise, depthwise, pointwise)
  assert both_twice == costs.Resources(800, 819_200, 131_872)


def test_a_cost_steers_the_distribution_to_the_cheap_operation():
  table = jnp.array([[[10.0], [1.0]], [[4.0], [8.0]]])
  options = {"combine": lambda r: r[..., 0]}

  def estimates(logits, noise):
    relaxed = gumbel.relax(logits, noise, 0.5)
    return {
      "analytic": costs.analytic_cost(logits, table, **options),
      "reparam": costs.reparam_cost(relaxed, table, **options),
      "policy_gradient": costs.policy_gradient_cost(
        logits, noise, 0.5, table, mean_baseline=True, **options
      ),
    }

  def train(name):
    def step(logits, key):
      noise = gumbel.gumbel_noise(key, (2, 2), jnp.float32)
      grad = jax.grad(lambda a: estimates(a, noise)[name])(logits)
      return logits - 0.05 * grad, None

    keys = jax.random.split(jax.random.key(0), 400)
    return jax.lax.scan(step, jnp.zeros((2, 2)), keys)[0]

  for name in ("analytic", "reparam", "policy_gradient"):
    found = jax.jit(train, static_argnums=0)(name)
    np.testing.assert_array_equal(jnp.argmax(found, axis=-1), [1, 0])
