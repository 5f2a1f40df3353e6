"""Softmax weights and entropy by hand, and their behaviour at the edges."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jnas.functional import mixing, numerics


def test_softmax_by_hand():
  logits = jnp.log(jnp.asarray([[1.0, 3.0, 4.0], [2.0, 2.0, 7.0]]))
  mask = jnp.asarray([[True, True, True], [True, True, False]])
  weights = mixing.softmax_weights(logits, mask, temperature=1.0)
  np.testing.assert_allclose(
    weights, [[1 / 8, 3 / 8, 4 / 8], [1 / 2, 1 / 2, 0]], rtol=1e-6
  )
  halved = mixing.softmax_weights(logits, mask, temperature=0.5)
  np.testing.assert_allclose(
    halved, [[1 / 26, 9 / 26, 16 / 26], [1 / 2, 1 / 2, 0]], rtol=1e-6
  )


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_softmax_of_extreme_logits_is_finite(size):
  logits = jnp.asarray([[size, -size, 0.0], [-size, -size, size]])
  mask = jnp.asarray([[True, True, True], [True, True, False]])

  def total(logits):
    return mixing.softmax_weights(logits, mask, temperature=1.0)[0, 1]

  weights = mixing.softmax_weights(logits, mask, temperature=1.0)
  np.testing.assert_allclose(weights, [[1, 0, 0], [0.5, 0.5, 0]], atol=1e-7)
  assert np.isfinite(jax.grad(total)(logits)).all()


def test_no_gradient_reaches_a_masked_logit():
  mask = jnp.asarray([[True, False, True], [False, False, False]])

  def loss(logits):
    weights = mixing.softmax_weights(logits, mask, temperature=1.0)
    return jnp.sum(weights * jnp.asarray([1.0, 2.0, 3.0])[None])

  grad = np.asarray(jax.grad(loss)(jnp.zeros((2, 3))))
  # d/dx of (w1 + 3 w3): w (1 - w) 2 = 1/2, with opposite signs.
  np.testing.assert_allclose(grad, [[-0.5, 0, 0.5], [0, 0, 0]], atol=1e-7)


def test_entropy_by_hand():
  weights = jnp.asarray([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
  mask = jnp.asarray([[1, 1, 0], [1, 1, 1], [1, 0, 0]], bool)
  np.testing.assert_allclose(
    numerics.entropy(weights), [np.log(2), 0, 0], rtol=1e-6
  )
  # One undecided edge, one decided; the one without a choice is left out.
  assert float(mixing.relative_entropy(weights, mask)) == pytest.approx(0.5)


def test_entropy_where_no_edge_has_a_choice_is_zero():
  ones = jnp.ones((2, 1))
  assert float(mixing.relative_entropy(ones, ones > 0)) == 0


@hypothesis.given(st.integers(0, 2**31 - 1))
@hypothesis.settings(max_examples=30, deadline=None, derandomize=True)
def test_entropy_is_between_0_and_1(seed):
  random = np.random.default_rng(seed)
  logits = jnp.asarray(random.normal(scale=5, size=(4, 6)))
  mask = random.random((4, 6)) < 0.7
  mask[:, 0] = True
  weights = mixing.softmax_weights(
    logits.astype(jnp.float32), jnp.asarray(mask), temperature=1.0
  )
  np.testing.assert_allclose(jnp.sum(weights, -1), 1, rtol=1e-5)
  value = float(mixing.relative_entropy(weights, jnp.asarray(mask)))
  assert 0 <= value <= 1 + 1e-6


def test_one_hot_weights():
  weights = mixing.one_hot_weights(jnp.asarray([2, -1, 0]), 3)
  assert weights.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
