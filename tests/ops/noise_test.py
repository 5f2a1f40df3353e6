"""SPEC 4.1, A10: the noise operation is blind, fresh and standard normal."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.ops import OPS, Settings

SETTINGS = Settings(affine=False, pool_norm=True)
each_stride = pytest.mark.parametrize("stride", [1, 2])


@functools.partial(jax.jit, static_argnames=("stride", "targets"))
def draw(seed, x, *, stride=1, targets=1):
  module = OPS["noise"].build(
    features=x.shape[-1], stride=stride, targets=targets, settings=SETTINGS
  )
  return module.apply({}, x, train=True, rngs={"noise": jax.random.key(seed)})


@each_stride
def test_noise_does_not_depend_on_the_input_and_passes_no_gradient(stride):
  @jax.jit
  @functools.partial(jax.value_and_grad, has_aux=True)
  def draw_and_differentiate(x):
    y = draw(0, x, stride=stride, targets=3)
    return jnp.sum(y**2), y

  x = jnp.cos(jnp.arange(384.0)).reshape(1, 2, 8, 6, 4)
  (_, y), gradient = draw_and_differentiate(x)
  (_, other), _ = draw_and_differentiate(5 - 100 * x)
  assert y.shape == (3, 2, 8 // stride, 6 // stride, 4)
  np.testing.assert_array_equal(y, other)
  assert jnp.all(gradient == 0)


def test_every_key_and_every_edge_has_noise_of_its_own():
  x = jnp.zeros((1, 2, 4, 4, 3))
  first, again, other = (draw(seed, x, targets=2) for seed in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert not jnp.any(first == other)
  assert not jnp.any(first[0] == first[1])


@each_stride
def test_noise_is_standard_normal_and_independent_between_edges(stride):
  y = draw(3, jnp.zeros((1, 16, 32, 32, 8)), stride=stride, targets=2)
  left, right = np.asarray(y, np.float64).reshape(2, -1)
  for values in (left, right):
    count = values.size
    # Standard errors of the mean, the variance and the fourth moment of a
    # standard normal: 1, sqrt(2) and sqrt(105 - 9) over sqrt(count).
    assert abs(values.mean()) < 4 / count**0.5
    assert abs(values.var() - 1) < 4 * (2 / count) ** 0.5
    assert abs(np.mean(values**4) - 3) < 4 * (96 / count) ** 0.5
  assert abs(np.mean(left * right)) < 4 / left.size**0.5


def test_noise_has_no_parameters_and_keeps_the_type_of_its_input():
  x = jnp.zeros((1, 2, 4, 4, 3), jnp.bfloat16)
  assert jax.eval_shape(draw, 0, x).dtype == jnp.bfloat16
  module = OPS["noise"].build(
    features=3, stride=2, targets=2, settings=SETTINGS
  )
  keys = {"params": jax.random.key(0), "noise": jax.random.key(1)}
  assert not jax.eval_shape(lambda: module.init(keys, x, train=True))
