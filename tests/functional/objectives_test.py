"""Cross-entropy against NumPy; UNAS's objectives by hand (SPEC 4.3, E14)."""

from typing import Any

import jax
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


@pytest.mark.parametrize(
  ("gap", "absolute", "expected"),
  [
    ("batch", True, 2.25),  # 2 + 0.5 |1.5 - 2|
    ("batch", False, 1.75),  # 2 + 0.5 (1.5 - 2)
    ("per_example", True, [1.5, 4.0]),  # 1 + 0.5 * 1, 3 + 0.5 * 2
    ("per_example", False, [1.5, 2.0]),  # 1 + 0.5 * 1, 3 - 0.5 * 2
  ],
)
def test_generalization_gap_by_hand(gap, absolute, expected):
  found = objectives.generalization_gap_loss(
    jnp.asarray([1.0, 3.0]),
    jnp.asarray([2.0, 1.0]),
    gap_weight=0.5,
    gap=gap,
    absolute=absolute,
  )
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_generalization_gap_of_several_architectures():
  train = jnp.asarray([[1.0, 3.0], [2.0, 2.0]])
  val = jnp.asarray([[2.0, 1.0, 3.0], [2.0, 2.0, 5.0]])
  found = objectives.generalization_gap_loss(
    train, val, gap_weight=0.5, gap="batch", absolute=True
  )
  # 2 + 0.5 |2 - 2|, 2 + 0.5 |3 - 2|
  np.testing.assert_allclose(found, [2.0, 2.5], rtol=1e-6)


def test_an_unknown_gap_is_refused():
  losses = jnp.ones(2)
  unknown: Any = "mean"
  with pytest.raises(ValueError, match="'mean'.*'batch' or 'per_example'"):
    objectives.generalization_gap_loss(
      losses, losses, gap_weight=0.5, gap=unknown, absolute=True
    )


def test_latency_hinge_is_flat_below_the_target():
  latency = jnp.asarray([8.0, 10.0, 13.0])
  value, slope = jax.vmap(
    jax.value_and_grad(
      lambda t: objectives.latency_hinge(t, target=10.0, latency_weight=0.1)
    )
  )(latency)
  np.testing.assert_allclose(value, [0, 0, 0.3], rtol=1e-6)
  np.testing.assert_allclose(slope, [0, 0, 0.1], rtol=1e-6)
