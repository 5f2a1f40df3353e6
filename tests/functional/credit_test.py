"""SPEC 4.2, C1 to C4: the search gradient of SNAS and its credits."""

import jax
import jax.numpy as jnp
import numpy as np

from jnas.functional import credit, gumbel


def loss_of_weights(z, x0, y, matrices):
  """Chain x0 -> x1 -> x2 plus an edge x0 -> x2; edges 01, 02, 12."""

  def outputs(edge, x):
    return jnp.stack([jnp.tanh(matrices[edge] @ x), 0.5 * x, 0.0 * x])

  x1 = z[0] @ outputs(0, x0)
  x2 = z[1] @ outputs(1, x0) + z[2] @ outputs(2, x1)
  return 0.25 * jnp.sum(x1**2) + jnp.sum((x2 - y) ** 2)


def test_gradients_and_credits_are_the_oracles(shared, x64):
  oracle = np.load(shared / "oracles" / "snas_gradient.npz")
  x0, y, matrices = (jnp.array(oracle[name]) for name in ("x0", "y", "A"))
  gumbels = -jnp.log(-jnp.log(jnp.array(oracle["u"])))
  temperature = float(oracle["lam"])

  def loss(log_alpha, matrices):
    z = gumbel.relax(log_alpha, gumbels, temperature)
    return loss_of_weights(z, x0, y, matrices)

  log_alpha = jnp.array(oracle["log_alpha"])
  z = gumbel.relax(log_alpha, gumbels, temperature)
  np.testing.assert_allclose(z, oracle["Z"], atol=1e-12)
  value, (by_arch, by_weights) = jax.jit(jax.value_and_grad(loss, (0, 1)))(
    log_alpha, matrices
  )
  np.testing.assert_allclose(value, oracle["loss"], atol=1e-9)
  np.testing.assert_allclose(by_arch, oracle["dL_dlog_alpha"], atol=1e-9)
  np.testing.assert_allclose(by_weights, oracle["dL_dA"], atol=1e-9)
  by_z = jax.jit(jax.grad(loss_of_weights))(z, x0, y, matrices)
  np.testing.assert_allclose(by_z, oracle["dL_dZ"], atol=1e-9)
  credit_e, credit_ek = credit.snas_credit(by_z, z)
  np.testing.assert_allclose(credit_ek, oracle["credit_R"], atol=1e-9)
  np.testing.assert_allclose(credit_e, oracle["credit_edge"], atol=1e-9)


def test_autodiff_is_the_printed_search_gradient_on_random_graphs(x64):
  def check(key):
    keys = jax.random.split(key, 5)
    matrices = jax.random.normal(keys[0], (3, 3, 3))
    x0, y = jax.random.normal(keys[1], (2, 3))
    log_alpha = jax.random.normal(keys[2], (3, 3))
    gumbels = jax.random.gumbel(keys[3], (3, 3))
    temperature = jax.random.uniform(keys[4], minval=0.3, maxval=2.0)

    def loss(log_alpha):
      z = gumbel.relax(log_alpha, gumbels, temperature)
      return loss_of_weights(z, x0, y, matrices)

    found = jax.grad(loss)(log_alpha)
    z = gumbel.relax(log_alpha, gumbels, temperature)
    s = jax.grad(loss_of_weights)(z, x0, y, matrices)
    mean = jnp.sum(s * z, axis=-1, keepdims=True)
    printed = (s - mean) * z / temperature  # SNAS, Eq. (27), times alpha
    return found, printed

  keys = jax.random.split(jax.random.key(0), 100)
  found, printed = jax.jit(jax.vmap(check))(keys)
  np.testing.assert_allclose(found, printed, atol=1e-9)
  # C4: logits may be shifted freely, so the rows of the gradient sum to 0.
  assert jnp.max(jnp.abs(found.sum(-1))) < 1e-12


def test_credit_by_hand():
  # R_edge = -(0.25 * 2 + 0.75 * -4) = 2.5
  credit_e, credit_ek = jax.jit(credit.snas_credit)(
    jnp.array([[2.0, -4.0]]), jnp.array([[0.25, 0.75]])
  )
  np.testing.assert_allclose(credit_e, [2.5])
  np.testing.assert_allclose(credit_ek, [[-2.0, 4.0]])
