"""SPEC 3.7: mixing weights under the noise of SDARTS-RS."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from jnas.functional import perturb


def test_noise_by_hand():
  weights = jnp.array([[0.5, 0.3, 0.2], [0.2, 0.45, 0.35], [0.0, 0.0, 0.0]])
  noise = jnp.array([[0.1, -0.4, 0.2], [-0.3, -0.5, -0.4], [0.3, 0.3, 0.3]])
  found = perturb.add_noise(weights, noise)
  # 0.6, 0, 0.4; clipped to nothing: the former argmax; discarded: stays.
  expected = [[0.6, 0, 0.4], [0, 1, 0], [0, 0, 0]]
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_upper_clip_comes_before_the_sum():
  # 1.2 -> 1, then 1 / 1.2 and 0.2 / 1.2
  found = perturb.add_noise(jnp.array([[1.0, 0.0]]), jnp.array([[0.2, 0.2]]))
  np.testing.assert_allclose(found, [[0.8333333, 0.1666667]], rtol=1e-6)


few = hypothesis.settings(max_examples=60, deadline=None, derandomize=True)


@hypothesis.given(
  st_numpy.arrays(np.float32, (4, 3), elements=st.sampled_from([-9, 0, 0, 1])),
  st_numpy.arrays(
    np.float32, (4, 3), elements=st.sampled_from([-0.5, -0.25, 0, 0.5])
  ),
  st_numpy.arrays(bool, (4, 3)),
)
@few
def test_rows_stay_on_the_simplex_of_their_operations(logits, noise, mask):
  mask[:, 1] = True

  def loss(logits):
    weights = jax.nn.softmax(jnp.where(mask, logits, -1e30), axis=-1)
    noisy = perturb.add_noise(weights, jnp.asarray(noise), mask=mask)
    return jnp.sum(noisy[:, 0]), noisy

  grad, noisy = jax.grad(loss, has_aux=True)(jnp.asarray(logits))
  np.testing.assert_allclose(noisy.sum(-1), 1, rtol=1e-5)
  assert np.all(np.asarray(noisy) >= 0) and np.all(noisy[~mask] == 0)
  assert np.all(np.isfinite(grad))


@pytest.mark.parametrize(
  ("noise", "variance", "fourth"),
  [("uniform", 1 / 3, 1 / 5), ("gaussian", 1, 3)],
)
def test_noise_has_its_law(noise, variance, fourth):
  num_draws = 100_000
  draws = perturb.draw_noise(
    jax.random.key(0), (num_draws,), jnp.float32, noise=noise
  )
  assert abs(draws.mean()) < 4 * (variance / num_draws) ** 0.5
  error = jnp.mean(draws**2) - variance
  assert abs(error) < 4 * ((fourth - variance**2) / num_draws) ** 0.5
  if noise == "uniform":
    assert -1 <= draws.min() < -0.999 and 0.999 < draws.max() <= 1


@pytest.mark.parametrize("noise", ["uniform", "gaussian"])
def test_epsilon_scales_the_noise_under_jit_and_vmap(noise):
  weights = jnp.full((6, 5), 0.2)
  keys = jax.random.split(jax.random.key(1), 3)

  def perturbed(key, epsilon):
    return perturb.perturb_weights(key, weights, epsilon=epsilon, noise=noise)

  # With so little noise nothing is clipped but the sums still are 1.
  found = jax.jit(jax.vmap(perturbed, (0, None)))(keys, 1e-3)
  np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-6)
  moved = jnp.abs(found - weights[None])
  assert 0 < moved.min() and moved.max() < 6e-3
  for row in range(3):
    alone = perturbed(keys[row], 1e-3)
    np.testing.assert_allclose(found[row], alone, rtol=1e-6)
  np.testing.assert_allclose(perturbed(keys[0], 0.0), weights, rtol=1e-6)


def test_an_unknown_law_is_refused():
  with pytest.raises(ValueError, match="noise 'cauchy'"):
    perturb.draw_noise(jax.random.key(0), (2,), jnp.float32, noise="cauchy")
