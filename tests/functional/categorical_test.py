"""Draws from a pytree of categoricals, by hand and by frequency."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import categorical, conditional


@pytest.mark.parametrize("temperature", [0.1, 5.0])
def test_frequencies_are_the_probabilities_at_any_temperature(temperature):
  phi = {"a": jnp.log(jnp.asarray([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]))}
  num_draws = 100_000
  gumbels = categorical.draw_gumbels(
    jax.random.key(0), phi, num_samples=num_draws
  )
  sample = categorical.draw(phi, gumbels)
  relaxed = categorical.relax(sample.perturbed, temperature=temperature)
  largest = jax.nn.one_hot(jnp.argmax(relaxed["a"], -1), 3)
  np.testing.assert_array_equal(largest, sample.one_hot["a"])
  np.testing.assert_allclose(jnp.sum(relaxed["a"], -1), 1, rtol=1e-5)
  p = np.exp(phi["a"])
  error = np.abs(np.mean(sample.one_hot["a"], 0) - p)
  assert np.all(error < 4 * (p * (1 - p) / num_draws) ** 0.5)


def test_log_probability_and_score_by_hand(x64):
  phi = {
    "a": jnp.log(jnp.asarray([[1.0, 3.0], [1.0, 1.0]])),
    "b": [jnp.log(jnp.asarray([2.0, 3.0, 5.0]))],
  }
  one_hot = {
    "a": jnp.asarray([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]]),
    "b": [jnp.asarray([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])],
  }
  # 3/4 * 1/2 * 5/10 and 1/4 * 1/2 * 2/10
  found = categorical.log_prob(phi, one_hot)
  np.testing.assert_allclose(np.exp(found), [3 / 16, 1 / 40], rtol=1e-12)
  score = jax.grad(lambda phi: categorical.log_prob(phi, one_hot)[0])(phi)
  # z - p
  np.testing.assert_allclose(score["a"], [[-0.25, 0.25], [0.5, -0.5]])
  np.testing.assert_allclose(score["b"][0], [-0.2, -0.3, 0.5], rtol=1e-12)


def test_a_row_without_any_entry_draws_nothing_and_passes_no_nan():
  phi = jnp.asarray([[0.5, 1.0], [2.0, 3.0]])
  mask = jnp.asarray([[True, False], [False, False]])

  def scalar(phi):
    gumbels = categorical.draw_gumbels(jax.random.key(0), phi, num_samples=3)
    sample = categorical.draw(phi, gumbels, mask=mask)
    relaxed = categorical.relax(sample.perturbed, temperature=0.1, mask=mask)
    return jnp.sum(sample.log_prob) + jnp.sum(relaxed), (sample, relaxed)

  gradient, (sample, relaxed) = jax.jit(jax.grad(scalar, has_aux=True))(phi)
  for weights in (sample.one_hot, relaxed):
    np.testing.assert_array_equal(
      weights, np.tile([[[1, 0], [0, 0]]], (3, 1, 1))
    )
  np.testing.assert_array_equal(sample.log_prob, np.zeros(3))
  np.testing.assert_array_equal(gradient, np.zeros((2, 2)))


def test_softened_probabilities_by_hand(x64):
  mask = jnp.asarray([True, True, True, False])
  logits = jnp.asarray([0.0, 0.0, -50.0, 70.0])
  soft = categorical.soften(logits, floor=0.08, mask=mask)
  probs = jnp.exp(conditional.log_probabilities(soft, mask=mask))
  # (0.5 + 0.08) / 1.24, (0 + 0.08) / 1.24
  expected = [0.58 / 1.24, 0.58 / 1.24, 0.08 / 1.24, 0]
  np.testing.assert_allclose(probs, expected, rtol=1e-12)
