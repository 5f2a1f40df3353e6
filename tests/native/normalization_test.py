import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jnas.native import library, lowering

EPS = 1e-5
needs_kernels = pytest.mark.skipif(
  not library.load().is_loaded, reason=f"kernels: {library.load().reason}"
)
# float32 takes the kernels where they are built, float64 always takes XLA.
both_codes = pytest.mark.parametrize(
  "dtype,tolerance",
  [pytest.param(np.float32, 2e-4, marks=needs_kernels), (np.float64, 1e-10)],
  ids=["native", "xla"],
)


def define(x):
  """The definition, which JAX differentiates by itself."""
  mean, var = x.mean((1, 2, 3)), x.var((1, 2, 3))
  spread = jnp.sqrt(var + EPS)[:, None, None, None]
  return (x - mean[:, None, None, None]) / spread, mean, var


def make_images(shape, dtype, *, seed=0, mean=2.0):
  random = np.random.default_rng(seed)
  return jnp.asarray(random.normal(mean, 1.5, shape), dtype)


def bend(normalize, x):
  """A scalar to which y, mean and var all contribute."""
  y, mean, var = normalize(x)
  return jnp.sin(y).sum() + jnp.square(mean).sum() + jnp.cos(var).sum()


def ours(x):
  return lowering.normalize(x, eps=EPS)


@needs_kernels
@hypothesis.given(
  st.tuples(
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([1, 3, 8, 13, 16, 24, 29, 40]),
  )
)
@hypothesis.settings(max_examples=10, deadline=None, derandomize=True)
def test_kernels_normalize_by_definition(shape):
  x = make_images(shape, np.float32)
  wide = np.asarray(x, np.float64)
  mean, var = wide.mean((1, 2, 3)), wide.var((1, 2, 3))
  y = (wide - mean[:, None, None, None]) / np.sqrt(var + EPS)[
    :, None, None, None
  ]
  for actual, expected in zip(ours(x), (y, mean, var), strict=True):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@both_codes
def test_values_and_gradients_are_those_of_the_definition(
  dtype, tolerance, x64
):
  x = make_images((2, 3, 4, 5, 3), dtype)
  wide = x.astype(np.float64)
  for actual, expected in zip(ours(x), define(wide), strict=True):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)
  actual = jax.jit(jax.grad(functools.partial(bend, ours)))(x)
  expected = jax.jit(jax.grad(functools.partial(bend, define)))(wide)
  assert actual.dtype == dtype
  np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


@both_codes
def test_second_derivatives_are_those_of_the_definition(dtype, tolerance, x64):
  x = make_images((1, 2, 2, 2, 2), dtype)
  wide, direction = x.astype(np.float64), jnp.cos(x)
  gradient = jax.grad(functools.partial(bend, define))
  _, expected = jax.jit(lambda v: jax.jvp(gradient, (wide,), (v,)))(
    direction.astype(np.float64)
  )
  gradient = jax.grad(functools.partial(bend, ours))
  _, forward = jax.jit(lambda v: jax.jvp(gradient, (x,), (v,)))(direction)
  reverse = jax.jit(jax.grad(lambda x: jnp.vdot(gradient(x), direction)))(x)
  for actual in (forward, reverse):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=10 * tolerance)


@both_codes
def test_vmap_is_a_loop(dtype, tolerance, x64):
  x = make_images((2, 2, 3, 2, 2, 3), dtype)
  gradient = jax.value_and_grad(lambda x: bend(ours, x))
  values, mapped = jax.jit(jax.vmap(gradient, 2, (0, 2)))(x)
  for i in range(x.shape[2]):
    value, expected = gradient(x[:, :, i])
    np.testing.assert_allclose(values[i], value, rtol=1e-5)
    np.testing.assert_allclose(
      mapped[:, :, i], expected, rtol=0, atol=tolerance
    )


@both_codes
def test_a_large_mean_costs_no_precision(dtype, tolerance, x64):
  x = make_images((1, 4, 9, 9, 5), dtype, mean=1000.0)
  _, _, var = ours(x)
  expected = np.asarray(x, np.float64).var((1, 2, 3))
  np.testing.assert_allclose(var, expected, rtol=tolerance)


@both_codes
def test_a_constant_channel_is_zero_with_finite_gradient(dtype, tolerance, x64):
  x = jnp.full((1, 2, 3, 3, 2), 7.0, dtype)
  y, _, var = ours(x)
  np.testing.assert_array_equal(y, 0)
  np.testing.assert_array_equal(var, 0)
  gradient = jax.grad(lambda x: jnp.square(ours(x)[0] - 1).sum())(x)
  np.testing.assert_allclose(gradient, 0, atol=1e-4)


@needs_kernels
def test_bfloat16_keeps_statistics_in_float32():
  x = make_images((2, 3, 5, 4, 20), jnp.bfloat16)
  y, mean, var = ours(x)
  assert (y.dtype, mean.dtype, var.dtype) == (
    jnp.bfloat16,
    jnp.float32,
    jnp.float32,
  )
  wide = x.astype(jnp.float32)
  for actual, expected in zip((y, mean, var), define(wide), strict=True):
    np.testing.assert_allclose(
      actual.astype(jnp.float32), expected, rtol=1e-2, atol=1e-2
    )
  g = jnp.sin(wide).astype(jnp.bfloat16)

  def pull_back(normalize, x, g):
    return jax.vjp(lambda x: normalize(x)[0], x)[1](g)[0]

  dx = pull_back(ours, x, g)
  expected = jax.jit(functools.partial(pull_back, define))(
    wide, g.astype(jnp.float32)
  )
  np.testing.assert_allclose(dx.astype(jnp.float32), expected, atol=2e-2)


@needs_kernels
def test_kernels_repeat_to_the_last_bit():
  x = make_images((3, 37, 17, 19, 24), np.float32)
  run = jax.jit(jax.value_and_grad(lambda x: bend(ours, x)))
  first = [np.asarray(a) for a in run(x)]
  for _ in range(20):
    for a, b in zip(run(x), first, strict=True):
      np.testing.assert_array_equal(a, b)


@needs_kernels
def test_an_empty_batch_has_no_statistics():
  y, mean, var = ours(jnp.zeros((2, 0, 3, 3, 4)))
  assert y.shape == (2, 0, 3, 3, 4)
  assert np.isnan(mean).all() and np.isnan(var).all()
