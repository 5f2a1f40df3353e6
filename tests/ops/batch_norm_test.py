"""SPEC 2.1 and 2.2: what the batch norms of the operations compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.ops import base

# Two channels over two examples of one pixel: 1 and 5, -2 and 4.
X = jnp.array([[1.0, -2.0], [5.0, 4.0]])[None, :, None, None, :]


def normalize(x, variables, *, train, affine=False, mutable=("batch_stats",)):
  return base.BatchNorm(affine).apply(
    variables, x, train=train, mutable=list(mutable)
  )


def stats(mean, var):
  return {"batch_stats": {"mean": jnp.array(mean), "var": jnp.array(var)}}


def test_training_uses_the_statistics_of_the_batch():
  y, _ = normalize(X, stats([[7.0, 7.0]], [[9.0, 9.0]]), train=True)
  # Means 3 and 1; variances ((-2)^2 + 2^2) / 2 = 4 and (3^2 + 3^2) / 2 = 9.
  expected = np.array([[-2, -3], [2, 3]]) / np.sqrt([4 + 1e-5, 9 + 1e-5])
  np.testing.assert_allclose(y[0, :, 0, 0], expected, rtol=1e-6)


def test_the_guard_against_zero_variance_is_1e_5():
  # Variance 1e-6: 0.001 / sqrt(1e-6 + 1e-5) = 0.301511.
  x = jnp.array([-0.001, 0.001]).reshape(1, 2, 1, 1, 1)
  y, _ = normalize(x, {}, train=True)
  np.testing.assert_allclose(y.ravel(), [-0.301511, 0.301511], rtol=1e-5)


def test_running_statistics_move_by_a_tenth_to_the_biased_ones():
  _, moved = normalize(X, stats([[0.0, 2.0]], [[1.0, 1.0]]), train=True)
  # 0.9 * 0 + 0.1 * 3 and 0.9 * 2 + 0.1 * 1; 0.9 + 0.1 * 4 and 0.9 + 0.1 * 9,
  # where the unbiased variances would be 8 and 18.
  np.testing.assert_allclose(
    moved["batch_stats"]["mean"], [[0.3, 1.9]], rtol=1e-6
  )
  np.testing.assert_allclose(
    moved["batch_stats"]["var"], [[1.3, 1.8]], rtol=1e-6
  )


def test_evaluation_uses_the_running_statistics_and_leaves_them():
  before = stats([[1.0, -1.0]], [[4.0, 0.25]])
  y, after = normalize(X, before, train=False)
  expected = np.array([[0, -1], [4, 5]]) / np.sqrt([4 + 1e-5, 0.25 + 1e-5])
  np.testing.assert_allclose(y[0, :, 0, 0], expected, rtol=1e-6)
  jax.tree.map(np.testing.assert_array_equal, before, after)


def test_statistics_stand_still_unless_they_are_mutable():
  before = stats([[7.0, 7.0]], [[9.0, 9.0]])
  y, moved = normalize(X, before, train=True, mutable=())
  assert not moved
  np.testing.assert_array_equal(y, normalize(X, before, train=True)[0])


def test_a_new_norm_starts_at_mean_0_variance_1_whatever_it_is_shown():
  for affine in (False, True):
    fresh = base.BatchNorm(affine).init(jax.random.key(0), X, train=True)
    jax.tree.map(
      np.testing.assert_array_equal,
      fresh["batch_stats"],
      stats([[0.0, 0.0]], [[1.0, 1.0]])["batch_stats"],
    )
    assert ("params" in fresh) == affine


@pytest.mark.parametrize("train", [True, False])
def test_a_trained_scale_and_shift_come_after_the_norm(train):
  variables = stats([[1.0, 2.0]], [[3.0, 4.0]])
  params = {"scale": jnp.array([[2.0, -1.0]]), "bias": jnp.array([[0.5, 3.0]])}
  plain, _ = normalize(X, variables, train=train)
  y, _ = normalize(X, {**variables, "params": params}, train=train, affine=True)
  np.testing.assert_allclose(
    y[0, :, 0, 0],
    np.asarray(plain[0, :, 0, 0]) * [2, -1] + [0.5, 3],
    rtol=1e-6,
  )


def test_every_target_is_normalized_by_itself():
  random = np.random.default_rng(0)
  x = jnp.asarray(
    random.normal([[[[[2.0]]]], [[[[-5.0]]]]], 1, (2, 4, 3, 3, 5))
  )
  y, moved = normalize(x, {}, train=True)
  for target in range(2):
    alone, alone_moved = normalize(x[target : target + 1], {}, train=True)
    np.testing.assert_allclose(y[target], alone[0], rtol=1e-5, atol=1e-6)
    for name, leaf in moved["batch_stats"].items():
      np.testing.assert_allclose(
        leaf[target], alone_moved["batch_stats"][name][0], rtol=1e-5
      )


@pytest.mark.parametrize("train", [True, False])
def test_the_gradient_passes_through_the_statistics_in_training_only(train):
  random = np.random.default_rng(1)
  x = jnp.asarray(random.normal(size=(1, 3, 4, 4, 2)), jnp.float32)
  weights = jnp.asarray(random.normal(size=x.shape), jnp.float32)
  variables = stats([[0.5, 0.0]], [[4.0, 1.0]])

  def project(x):
    return jnp.sum(normalize(x, variables, train=train)[0] * weights)

  gradient = jax.grad(project)(x)
  if train:
    # A batch norm does not see a shift of its input, and nearly no scaling.
    shift = jnp.sum(gradient, axis=(1, 2, 3))
    scaling = jnp.sum(gradient * x, axis=(1, 2, 3))
    np.testing.assert_allclose(shift, 0, atol=1e-5)
    np.testing.assert_allclose(scaling, 0, atol=1e-3)
  else:
    scale = 1 / np.sqrt([4 + 1e-5, 1 + 1e-5])
    np.testing.assert_allclose(gradient, np.asarray(weights) * scale, rtol=1e-5)


def test_statistics_are_single_precision_for_half_precision_images():
  x = (1000 + X).astype(jnp.bfloat16)
  y, moved = normalize(x, {}, train=True)
  assert y.dtype == jnp.bfloat16
  for leaf in jax.tree.leaves(moved):
    assert leaf.dtype == jnp.float32
