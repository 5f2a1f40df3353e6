import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from jnas.native import lowering
from tests.native import kernels

EPS = 1e-5
MOMENTUM = 0.75
both_codes = kernels.both_codes(2e-4, 1e-10)


def define(x):
  """The definition, which JAX differentiates by itself."""
  mean, var = x.mean((1, 2, 3)), x.var((1, 2, 3))
  spread = jnp.sqrt(var + EPS)[:, None, None, None]
  return (x - mean[:, None, None, None]) / spread


def make_images(shape, dtype, *, seed=0, mean=2.0):
  random = np.random.default_rng(seed)
  return jnp.asarray(random.normal(mean, 1.5, shape), dtype)


def bend(normalize, x):
  """A scalar with derivatives of every order."""
  return jnp.sin(normalize(x)).sum()


def make_running(x):
  """Running statistics unlike each other and those of x."""
  count = x.shape[0] * x.shape[-1]
  mean = jnp.linspace(-1, 1, count, dtype=jnp.float32)
  return mean.reshape(x.shape[0], -1), 1 + jnp.square(mean).reshape(
    x.shape[0], -1
  )


def ours_and_moved(x, momentum=MOMENTUM):
  return lowering.normalize(x, *make_running(x), eps=EPS, momentum=momentum)


def ours(x):
  return ours_and_moved(x)[0]


def moments(x):
  """The batch's own mean and variance: all that is left at momentum 0."""
  return ours_and_moved(x, momentum=0)[1:]


@kernels.needs_kernels
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
  spread = np.sqrt(var + EPS)[:, None, None, None]
  y = (wide - mean[:, None, None, None]) / spread
  moved = [
    MOMENTUM * np.asarray(old) + (1 - MOMENTUM) * new
    for old, new in zip(make_running(x), (mean, var), strict=True)
  ]
  for actual, expected in zip(ours_and_moved(x), (y, *moved), strict=True):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@both_codes
def test_statistics_move_by_momentum(dtype, tolerance, x64):
  # Mean 3, biased variance ((-2)^2 + 2^2) / 2 = 4.
  x = jnp.array([1, 5], dtype).reshape(1, 2, 1, 1, 1)
  running = jnp.array([[7.0]], jnp.float32), jnp.array([[9.0]], jnp.float32)
  _, mean, var = lowering.normalize(x, *running, eps=EPS, momentum=0.9)
  assert mean.dtype == var.dtype == jnp.float32
  # 0.9 * 7 + 0.1 * 3 and 0.9 * 9 + 0.1 * 4.
  np.testing.assert_allclose(mean, [[6.6]], rtol=1e-6)
  np.testing.assert_allclose(var, [[8.5]], rtol=1e-6)


@both_codes
def test_no_gradient_passes_through_statistics(dtype, tolerance, x64):
  x = make_images((2, 2, 3, 3, 2), dtype)

  def moved(x, mean, var):
    y, mean, var = lowering.normalize(x, mean, var, eps=EPS, momentum=0.9)
    return jnp.sum(mean) + jnp.sum(var), y

  gradients, _ = jax.grad(moved, (0, 1, 2), has_aux=True)(x, *make_running(x))
  for gradient in gradients:
    np.testing.assert_array_equal(gradient, 0)


@kernels.needs_kernels
def test_each_pass_is_one_instruction():
  x = make_images((2, 2, 3, 3, 4), np.float32)

  def run(x, g):
    y, pull_back, moved = jax.vjp(
      lambda x: (lambda y, *moved: (y, moved))(*ours_and_moved(x)),
      x,
      has_aux=True,
    )
    return y, pull_back(g), moved

  text = jax.jit(run).lower(x, x).compile().as_text()
  assert text.count("custom-call(") == 2


@both_codes
def test_values_and_gradients_are_those_of_the_definition(
  dtype, tolerance, x64
):
  x = make_images((2, 3, 4, 5, 3), dtype)
  wide = x.astype(np.float64)
  np.testing.assert_allclose(ours(x), define(wide), rtol=0, atol=tolerance)
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
  run = functools.partial(bend, ours)
  gradient = jax.grad(run)

  def slope(x):
    return jax.jvp(run, (x,), (direction,))[1]

  _, forward = jax.jit(lambda v: jax.jvp(gradient, (x,), (v,)))(direction)
  reverse = jax.jit(jax.grad(lambda x: jnp.vdot(gradient(x), direction)))(x)
  of_slope = jax.jit(jax.grad(slope))(x)
  for actual in (forward, reverse, of_slope):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=10 * tolerance)
  curvature = jax.jit(lambda v: jax.jvp(slope, (x,), (v,))[1])(direction)
  np.testing.assert_allclose(
    curvature, jnp.vdot(expected, direction), rtol=0, atol=50 * tolerance
  )


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
  _, var = moments(x)
  expected = np.asarray(x, np.float64).var((1, 2, 3))
  np.testing.assert_allclose(var, expected, rtol=max(tolerance, 1e-6))


@both_codes
def test_a_constant_channel_is_zero_with_finite_gradient(dtype, tolerance, x64):
  x = jnp.full((1, 2, 3, 3, 2), 7.0, dtype)
  np.testing.assert_array_equal(ours(x), 0)
  np.testing.assert_array_equal(moments(x)[1], 0)
  gradient = jax.grad(lambda x: jnp.square(ours(x) - 1).sum())(x)
  np.testing.assert_allclose(gradient, 0, atol=1e-4)


@kernels.needs_kernels
def test_bfloat16_keeps_statistics_in_float32():
  x = make_images((2, 3, 5, 4, 20), jnp.bfloat16)
  y, mean, var = ours_and_moved(x, momentum=0)
  assert [a.dtype for a in (y, mean, var)] == [jnp.bfloat16] + 2 * [jnp.float32]
  wide = x.astype(jnp.float32)
  np.testing.assert_allclose(
    y.astype(jnp.float32), define(wide), rtol=1e-2, atol=1e-2
  )
  np.testing.assert_allclose(mean, wide.mean((1, 2, 3)), rtol=1e-5)
  np.testing.assert_allclose(var, wide.var((1, 2, 3)), rtol=1e-5)
  g = jnp.sin(wide).astype(jnp.bfloat16)

  def pull_back(normalize, x, g):
    return jax.vjp(normalize, x)[1](g)[0]

  dx = pull_back(ours, x, g)
  expected = jax.jit(functools.partial(pull_back, define))(
    wide, g.astype(jnp.float32)
  )
  np.testing.assert_allclose(dx.astype(jnp.float32), expected, atol=2e-2)


@kernels.needs_kernels
def test_kernels_repeat_to_the_last_bit():
  x = make_images((3, 37, 17, 19, 24), np.float32)
  run = jax.jit(jax.value_and_grad(lambda x: bend(ours, x)))
  first = [np.asarray(a) for a in run(x)]
  for _ in range(20):
    for a, b in zip(run(x), first, strict=True):
      np.testing.assert_array_equal(a, b)


@kernels.needs_kernels
def test_an_empty_batch_has_no_statistics():
  y, mean, var = ours_and_moved(jnp.zeros((2, 0, 3, 3, 4)))
  assert y.shape == (2, 0, 3, 3, 4)
  assert np.isnan(mean).all() and np.isnan(var).all()
