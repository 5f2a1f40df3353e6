"""SPEC 4.3, E1: exact expectations and gradients by listing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import enumeration
from tests.functional import chain2x3


@pytest.mark.parametrize(
  ("loss", "prefix"), [(chain2x3.loss, ""), (chain2x3.latency, "lat_")]
)
def test_expectation_and_gradient_equal_the_oracle(shared, x64, loss, prefix):
  oracle = chain2x3.load(shared)
  phi = jnp.asarray(oracle["phi"])
  choices = enumeration.one_hot_choices(phi)
  np.testing.assert_array_equal(np.argmax(choices, -1), oracle["archs"])
  np.testing.assert_allclose(
    loss(choices), oracle[f"{prefix}losses"], atol=1e-9
  )
  np.testing.assert_allclose(
    enumeration.expected_loss(phi, loss),
    oracle["expected_loss" if not prefix else "lat_expected"],
    atol=1e-9,
  )
  np.testing.assert_allclose(
    enumeration.exact_gradient(phi, loss),
    oracle[f"{prefix}exact_grad"],
    atol=1e-9,
  )


def test_masked_choices_are_not_listed():
  phi = {"a": jnp.zeros((2, 3)), "b": jnp.zeros(2)}
  mask = {
    "a": jnp.asarray([[True, False, True], [False, True, False]]),
    "b": jnp.asarray([True, True]),
  }
  choices = enumeration.one_hot_choices(phi, mask=mask)
  assert jax.tree.map(lambda leaf: np.argmax(leaf, -1).tolist(), choices) == {
    "a": [[0, 1], [0, 1], [2, 1], [2, 1]],
    "b": [0, 1, 0, 1],
  }

  def loss(tree):
    return 4 * tree["a"][:, 0, 0] + tree["b"][:, 1]

  # Two fair coins and a certain choice: 4/2 + 1/2.
  expected = enumeration.expected_loss(phi, loss, mask=mask)
  np.testing.assert_allclose(expected, 2.5, rtol=1e-6)
  gradient = enumeration.exact_gradient(phi, loss, mask=mask)
  # d/dphi of 4 p: 4 p (1 - p) = 1, and of p': 1/4.
  np.testing.assert_allclose(gradient["a"], [[1, 0, -1], [0, 0, 0]], atol=1e-6)
  np.testing.assert_allclose(gradient["b"], [-0.25, 0.25], atol=1e-6)


def test_too_large_a_space_is_refused_and_so_is_a_loss_of_another_shape():
  with pytest.raises(ValueError, match="4398046511104 combinations"):
    enumeration.one_hot_choices(jnp.zeros((14, 8)))
  with pytest.raises(ValueError, match="each of the 9 combinations"):
    enumeration.expected_loss(jnp.zeros((2, 3)), jnp.sum)
