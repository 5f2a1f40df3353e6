"""The toy problem of ../shared/oracles/toy_estimators.npz, SPEC 4.3."""

import jax
import jax.numpy as jnp
import numpy as np

# Of the nine choices (k0, k1), SPEC 4.3.
LATENCIES = [2.05, 0.85, 1.85, 1.45, 0.60, 1.00, 0.90, 0.30, 0.70]


def loss(weights):
  """`[..., 2, 3]` weights of two edges in a chain to `[...]` losses."""
  x = jnp.full(weights.shape[:-2], 0.8, weights.dtype)
  ops = jnp.stack([jnp.tanh(1.3 * x) + 0.2, 0.5 * x**2 + 0.4 * x, 0 * x], -1)
  x = jnp.sum(weights[..., 0, :] * ops, -1)
  ops = jnp.stack([jnp.sin(2 * x), x, -0.7 * x + 0.3], -1)
  x = jnp.sum(weights[..., 1, :] * ops, -1)
  return (x - 0.4) ** 2 + 0.3 * x


def latency(one_hot):
  """`[..., 2, 3]` one-hot to `[...]`: a table of the nine pairs."""
  index = jnp.argmax(one_hot, axis=-1)
  table = jnp.asarray(LATENCIES, one_hot.dtype)
  return table[3 * index[..., 0] + index[..., 1]]


def linear(oracle):
  """The oracle's least-squares surrogate of `latency`."""
  coefficients = jnp.asarray(oracle["surrogate_w"])
  bias = jnp.asarray(oracle["surrogate_b"])

  def predict(weights):
    each = weights * jnp.broadcast_to(coefficients, weights.shape)
    return jnp.sum(each, axis=(-2, -1)) + bias

  return predict


def load(shared):
  """The oracle, its arrays by name."""
  with np.load(shared / "oracles" / "toy_estimators.npz") as file:
    return dict(file)


def estimates(surrogate_fn, phi, key, num_draws):
  """`[num_draws, 2, 3]` estimates by `surrogate_fn(phi, key)`."""

  @jax.jit
  def run(phi, keys):
    one = jax.grad(lambda phi, key: surrogate_fn(phi, key)[0])
    return jax.vmap(one, in_axes=(None, 0))(phi, keys)

  return np.asarray(run(phi, jax.random.split(key, num_draws)))


def standard_errors(draws, expected):
  """How many standard errors the mean of draws is from the expected."""
  error = draws.std(0, ddof=1) / len(draws) ** 0.5
  return np.abs(draws.mean(0) - expected) / error
