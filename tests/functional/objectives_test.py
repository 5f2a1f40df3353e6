"""Cross-entropy against NumPy, with and without smoothing."""

import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import objectives


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy_is_that_of_the_smoothed_target(smoothing):
  random = np.random.default_rng(0)
  logits = random.normal(scale=3, size=(6, 5))
  labels = np.array([0, 4, 2, 2, 1, 3])
  target = (1 - smoothing) * np.eye(5)[labels] + smoothing / 5
  log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  found = objectives.cross_entropy(
    jnp.asarray(logits, jnp.float32),
    jnp.asarray(labels),
    label_smoothing=smoothing,
  )
  np.testing.assert_allclose(found, -(target * log_p).sum(-1), rtol=1e-5)


def test_cross_entropy_of_large_logits_is_finite():
  logits = jnp.asarray([[1e4, -1e4], [1e4, -1e4]])
  found = objectives.cross_entropy(
    logits, jnp.asarray([0, 1]), label_smoothing=0.0
  )
  np.testing.assert_allclose(found, [0, 2e4])
