"""UNAS's claim on non-differentiable losses, on the toy problem (SPEC P18)."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jnas.functional import enumeration, estimators
from tests.functional import chain2x3

NUM_STEPS = 400


def wrong_surrogate(weights):
  """Prefers the operations that the true latency is worst with."""
  return -jnp.sum(weights @ jnp.asarray([2.0, 0.5, 1.0]), axis=-1)


def relax(phi, key):
  return estimators.relax_surrogate(
    phi,
    key,
    chain2x3.latency,
    wrong_surrogate,
    temperature=0.4,
    num_samples=16,
  )[0]


def gumbel_softmax(phi, key):
  return estimators.gs_surrogate(
    phi, key, wrong_surrogate, 0.4, num_samples=16
  )[0]


def minimize(surrogate_fn):
  optimizer = optax.adam(0.05)

  def step(carry, key):
    phi, state = carry
    update, state = optimizer.update(jax.grad(surrogate_fn)(phi, key), state)
    return (optax.apply_updates(phi, update), state), None

  phi = jnp.zeros((2, 3))
  keys = jax.random.split(jax.random.key(0), NUM_STEPS)
  (phi, _), _ = jax.jit(
    lambda: jax.lax.scan(step, (phi, optimizer.init(phi)), keys)
  )()
  return phi


def test_relax_minimises_the_true_loss_whatever_the_surrogate():
  found = minimize(relax)
  choice = np.argmax(found, axis=-1)
  assert chain2x3.LATENCIES[3 * choice[0] + choice[1]] == 0.30  # the smallest
  assert enumeration.expected_loss(found, chain2x3.latency) < 0.4
  # The surrogate alone leads to the worst of the nine.
  misled = minimize(gumbel_softmax)
  assert np.argmax(misled, axis=-1).tolist() == [0, 0]
  assert enumeration.expected_loss(misled, chain2x3.latency) > 1.9
