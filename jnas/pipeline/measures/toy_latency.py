"""A latency that is minimised through a surrogate that is wrong.

Two edges with three operations each. The latency of a pair is not the sum of
its operations', and the surrogate, which is, prefers what is slowest.

Source: UNAS (arXiv:1912.07651), Sec. 3.1, Eq. (5); SPEC 5, P18, and 4.3 for
the latencies.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jnas.functional import enumeration, estimators
from jnas.types import Array, PRNGKey

# Of the nine pairs, those of the first edge's first operation first.
LATENCIES = (2.05, 0.85, 1.85, 1.45, 0.60, 1.00, 0.90, 0.30, 0.70)
_SURROGATE = (-2.0, -0.5, -1.0)
_TEMPERATURE = 0.4
_NUM_STEPS = 400
_NUM_SAMPLES = 16


def relax(seed: int) -> dict[str, Any]:
  """What RELAX finds: see `_minimize`."""

  def estimate(phi: Array, key: PRNGKey) -> Array:
    return estimators.relax_surrogate(
      phi,
      key,
      latency,
      _surrogate,
      temperature=_TEMPERATURE,
      num_samples=_NUM_SAMPLES,
    )[0]

  return _minimize(estimate, seed)


def gumbel_softmax(seed: int) -> dict[str, Any]:
  """What Gumbel-softmax finds, which sees the surrogate alone."""

  def estimate(phi: Array, key: PRNGKey) -> Array:
    return estimators.gs_surrogate(
      phi, key, _surrogate, _TEMPERATURE, num_samples=_NUM_SAMPLES
    )[0]

  return _minimize(estimate, seed)


def latency(one_hot: Array) -> Array:
  """`[..., 2, 3]` one-hot to `[...]` latencies."""
  index = jnp.argmax(one_hot, axis=-1)
  return jnp.asarray(LATENCIES)[3 * index[..., 0] + index[..., 1]]


def _surrogate(weights: Array) -> Array:
  return jnp.sum(weights @ jnp.asarray(_SURROGATE), axis=-1)


def _minimize(
  estimate: Callable[[Array, PRNGKey], Array], seed: int
) -> dict[str, Any]:
  """Descends by an estimator.

  Returns:
    `expected`, the expected latency at the end; `chosen`, that of the pair
    with the largest probability.
  """
  optimizer = optax.adam(0.05)

  def step(carry: Any, key: PRNGKey) -> tuple[Any, None]:
    phi, state = carry
    update, state = optimizer.update(jax.grad(estimate)(phi, key), state)
    return (optax.apply_updates(phi, update), state), None

  @jax.jit
  def descend(keys: PRNGKey) -> Array:
    phi = jnp.zeros((2, 3))
    (phi, _), _ = jax.lax.scan(step, (phi, optimizer.init(phi)), keys)
    return phi

  phi = descend(jax.random.split(jax.random.key(seed), _NUM_STEPS))
  first, second = np.argmax(np.asarray(phi), axis=-1)
  return {
    "expected": float(enumeration.expected_loss(phi, latency)),
    "chosen": LATENCIES[3 * int(first) + int(second)],
  }
