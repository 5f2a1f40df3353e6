import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax import lax

from jnas.native import lowering
from tests.native import kernels

EPS = 1e-5
both_codes = kernels.both_codes(1e-4, 1e-9)


@st.composite
def problems(draw):
  """Arguments of `make_problem`, many of them at an edge."""
  sources = draw(st.sampled_from([1, 1, 2]))
  channels = st.sampled_from([1, 3, 8, 13, 16, 20, 24, 29, 32, 40])
  size = st.one_of(st.integers(1, 4), st.integers(5, 20))
  return dict(
    x_shape=(
      sources,
      draw(st.integers(1, 3)),
      draw(size),
      draw(size),
      draw(channels),
    ),
    features=draw(channels),
    targets=sources * draw(st.sampled_from([1, 1, 3])),
    taps=draw(st.sampled_from([1, 3, 5, 7])),
    stride=draw(st.sampled_from([1, 2, 3])),
    dilation=draw(st.sampled_from([1, 2])),
  )


def make_problem(
  x_shape, features, targets, taps=3, stride=1, dilation=1, dtype=np.float32
):
  """Returns ((x, kernel, matrix), settings)."""
  random = np.random.default_rng(0)
  channels = x_shape[-1]
  shapes = [
    x_shape,
    (targets, taps, taps, channels),
    (targets, channels, features),
  ]
  values = [jnp.asarray(random.normal(size=s), dtype) for s in shapes]
  # With few positions to a channel, a variance near zero would amplify every
  # rounding error.
  values[0] = values[0] + jnp.arange(x_shape[1], dtype=dtype).reshape(
    1, -1, 1, 1, 1
  )
  return tuple(values), dict(stride=stride, dilation=dilation)


def ours_and_moved(x, kernel, matrix, *, momentum=0.75, **window):
  mean = jnp.linspace(-1, 1, matrix.shape[0] * matrix.shape[2]).reshape(
    matrix.shape[::2]
  )
  mean = mean.astype(jnp.float32)
  return lowering.separable_norm(
    *(x, kernel, matrix, mean, 1 + jnp.square(mean)),
    eps=EPS,
    momentum=momentum,
    **window,
  )


def ours(*args, **window):
  return ours_and_moved(*args, **window)[0]


def define_unnormalized(x, kernel, matrix, *, stride, dilation):
  """ReLU and both convolutions in plain XLA, which JAX differentiates."""
  targets, taps, _, channels = kernel.shape
  x = jnp.repeat(jax.nn.relu(x), targets // len(x), axis=0)
  filtered = [
    lax.conv_general_dilated(
      x[t],
      kernel[t][:, :, None],
      (stride, stride),
      [(dilation * (taps // 2),) * 2] * 2,
      rhs_dilation=(dilation, dilation),
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      feature_group_count=channels,
    )
    for t in range(targets)
  ]
  return jnp.einsum("tbhwc,tcd->tbhwd", jnp.stack(filtered), matrix)


def define(*args, **window):
  z = define_unnormalized(*args, **window)
  mean = z.mean((1, 2, 3), keepdims=True)
  var = z.var((1, 2, 3), keepdims=True)
  return (z - mean) / jnp.sqrt(var + EPS)


def bend(run, *args):
  """A scalar with derivatives of every order."""
  return jnp.sin(run(*args) + 0.5).sum()


def gradients(run, args):
  return jax.jit(jax.grad(functools.partial(bend, run), (0, 1, 2)))(*args)


def widen(args):
  return tuple(a.astype(np.float64) for a in args)


def assert_close(actual, expected, tolerance):
  expected = np.asarray(expected, np.float64)
  scale = max(1.0, np.abs(expected).max(initial=0.0))
  np.testing.assert_allclose(
    np.asarray(actual, np.float64) / scale,
    expected / scale,
    rtol=0,
    atol=tolerance,
  )


def define_by_hand(args, g, *, stride, dilation):
  """Returns y, the gradients and the least variance, in NumPy, float64."""
  x, kernel, matrix, g = (np.asarray(a, np.float64) for a in (*args, g))
  x = np.repeat(x, len(kernel) // len(x), axis=0)
  taps, padding = kernel.shape[1], dilation * (kernel.shape[1] // 2)
  around = [(0, 0), (0, 0), (padding, padding), (padding, padding), (0, 0)]
  padded = np.pad(np.maximum(x, 0), around)
  dpadded = np.zeros(padded.shape)

  def read(array, i, j):
    rows, columns = (
      slice(n * dilation, n * dilation + (size - 1) * stride + 1, stride)
      for n, size in zip((i, j), g.shape[2:4], strict=True)
    )
    return array[:, :, rows, columns]

  filtered = sum(
    read(padded, i, j) * kernel[:, i, j][:, None, None, None]
    for i, j in np.ndindex(taps, taps)
  )
  z = np.einsum("tbhwc,tcd->tbhwd", filtered, matrix)
  mean, var = (f((1, 2, 3), keepdims=True) for f in (z.mean, z.var))
  spread = np.sqrt(var + EPS)
  y = (z - mean) / spread
  dz = g - g.mean((1, 2, 3), keepdims=True)
  dz = (dz - y * (g * y).mean((1, 2, 3), keepdims=True)) / spread
  dmatrix = np.einsum("tbhwc,tbhwd->tcd", filtered, dz)
  between = np.einsum("tbhwd,tcd->tbhwc", dz, matrix)
  dkernel = np.zeros(kernel.shape)
  for i, j in np.ndindex(taps, taps):
    dkernel[:, i, j] = (read(padded, i, j) * between).sum((1, 2, 3))
    place = read(dpadded, i, j)
    place += between * kernel[:, i, j][:, None, None, None]
  dx = dpadded[:, :, padding:, padding:][:, :, : x.shape[2], : x.shape[3]]
  dx = (dx * (x > 0)).reshape(*args[0].shape[:1], -1, *x.shape[1:]).sum(1)
  return (y, dx, dkernel, dmatrix), var.min()


@kernels.needs_kernels
@hypothesis.given(problems())
@hypothesis.settings(max_examples=12, deadline=None, derandomize=True)
def test_kernels_give_value_and_gradients_by_definition(problem):
  args, window = make_problem(**problem)
  y, pull_back = jax.vjp(functools.partial(ours, **window), *args)
  g = jnp.cos(2 * y)
  expected, variance = define_by_hand(args, g, **window)
  # Where all values of a channel nearly agree, rounding decides the result.
  hypothesis.assume(variance > 0.01)
  for a, b in zip((y, *pull_back(g)), expected, strict=True):
    assert_close(a, b, 2e-4)


@both_codes
@pytest.mark.parametrize("sources", [1, 2])
@pytest.mark.parametrize("stride,dilation", [(1, 2), (2, 1)])
def test_values_and_derivatives_are_those_of_the_definition(
  dtype, tolerance, sources, stride, dilation, x64
):
  args, window = make_problem(
    (sources, 2, 4, 5, 3), 2, 2, 3, stride, dilation, dtype
  )
  run = functools.partial(ours, **window)
  by_definition = functools.partial(define, **window)
  wide = widen(args)
  assert_close(run(*args), by_definition(*wide), tolerance)
  for a, b in zip(
    gradients(run, args), gradients(by_definition, wide), strict=True
  ):
    assert a.dtype == dtype
    assert_close(a, b, tolerance)


def second_derivatives(run, args):
  """Reverse over reverse, forward over reverse, reverse over forward."""

  def slope(*args):
    found = jax.grad(functools.partial(bend, run), (0, 1, 2))(*args)
    return sum(
      jnp.vdot(a, jnp.cos(b)) for a, b in zip(found, args, strict=True)
    )

  def both(*args):
    first = jax.grad(functools.partial(bend, run), (0, 1, 2))
    directions = tuple(jnp.cos(a) for a in args)
    _, forward = jax.jvp(first, args, directions)

    def along(*args):
      return jax.jvp(functools.partial(bend, run), args, directions)[1]

    of_forward = jax.grad(along, (0, 1, 2))(*args)
    return *jax.grad(slope, (0, 1, 2))(*args), *forward, *of_forward

  return jax.jit(both)(*args)


@both_codes
def test_second_derivatives_are_those_of_the_definition(dtype, tolerance, x64):
  args, window = make_problem((1, 2, 3, 4, 2), 3, 2, dtype=dtype)
  actual = second_derivatives(functools.partial(ours, **window), args)
  expected = second_derivatives(
    functools.partial(define, **window), widen(args)
  )
  for a, b in zip(actual, expected, strict=True):
    assert_close(a, b, 10 * tolerance)


@both_codes
@pytest.mark.parametrize("axes", [(0, 0, 0), (None, 0, 0), (2, None, None)])
def test_vmap_is_a_loop(dtype, tolerance, axes, x64):
  args, window = make_problem((1, 2, 3, 4, 2), 3, 2, dtype=dtype)
  values = [
    a if axis is None else jnp.stack([a, 2 * a, a - 1], axis)
    for a, axis in zip(args, axes, strict=True)
  ]
  run = jax.value_and_grad(
    functools.partial(bend, functools.partial(ours, **window)), (0, 1, 2)
  )
  mapped = jax.jit(jax.vmap(run, axes))(*values)
  for i in range(3):
    chosen = [
      a if axis is None else jnp.take(a, i, axis)
      for a, axis in zip(values, axes, strict=True)
    ]
    for a, b in zip(
      jax.tree.leaves(mapped), jax.tree.leaves(run(*chosen)), strict=True
    ):
      assert_close(a[i], b, tolerance)


@both_codes
def test_statistics_move_and_carry_no_gradient(dtype, tolerance, x64):
  args, window = make_problem((1, 2, 3, 4, 2), 3, 2, dtype=dtype)
  _, mean, var = ours_and_moved(*args, momentum=0.0, **window)
  z = define_unnormalized(*widen(args), **window)
  assert_close(mean, z.mean((1, 2, 3)), max(tolerance, 1e-6))
  assert_close(var, z.var((1, 2, 3)), max(tolerance, 1e-6))
  found = jax.grad(
    lambda args: sum(a.sum() for a in ours_and_moved(*args, **window)[1:])
  )(args)
  for gradient in found:
    np.testing.assert_array_equal(gradient, 0)


@kernels.needs_kernels
def test_the_gradient_of_images_alone_is_the_same():
  args, window = make_problem((1, 3, 5, 4, 20), 24, 3)
  run = functools.partial(bend, functools.partial(ours, **window))
  alone = jax.jit(jax.grad(run))(*args)
  together = jax.jit(jax.grad(run, (0, 1, 2)))(*args)[0]
  np.testing.assert_array_equal(alone, together)


@kernels.needs_kernels
def test_bfloat16_sums_in_float32():
  args, window = make_problem(
    (1, 3, 6, 5, 20), 24, 2, taps=5, dtype=jnp.bfloat16
  )
  wide = tuple(a.astype(np.float32) for a in args)
  y = ours(*args, **window)
  assert y.dtype == jnp.bfloat16
  assert_close(y, define(*wide, **window), 2e-2)
  actual = gradients(functools.partial(ours, **window), args)
  expected = gradients(functools.partial(define, **window), wide)
  for a, b in zip(actual, expected, strict=True):
    assert a.dtype == jnp.bfloat16
    assert_close(a, b, 3e-2)


@kernels.needs_kernels
def test_kernels_repeat_to_the_last_bit():
  args, window = make_problem((1, 37, 9, 11, 24), 20, 3, taps=5)
  run = functools.partial(ours, **window)
  first = [np.asarray(a) for a in (run(*args), *gradients(run, args))]
  for _ in range(20):
    for a, b in zip((run(*args), *gradients(run, args)), first, strict=True):
      np.testing.assert_array_equal(a, b)


@kernels.needs_kernels
def test_each_pass_is_one_instruction_and_nothing_between_is_stored():
  args, window = make_problem((1, 16, 16, 16, 16), 16, 4)
  run = functools.partial(ours, **window)

  def pull(*args):
    y, pull_back = jax.vjp(run, *args)
    return pull_back(y)

  compiled = jax.jit(pull).lower(*args).compile()
  assert compiled.as_text().count("custom-call(") == 2
  y_bytes = 4 * args[0].nbytes
  assert compiled.memory_analysis().temp_size_in_bytes < 1.5 * y_bytes


@kernels.needs_kernels
def test_an_empty_batch_has_no_statistics():
  args, window = make_problem((1, 0, 4, 4, 3), 5, 2)
  y, mean, _ = ours_and_moved(*args, **window)
  assert y.shape == (2, 0, 4, 4, 5)
  assert np.isnan(mean).all()
  dx, dk, _ = gradients(functools.partial(ours, **window), args)
  assert dx.shape == args[0].shape
  np.testing.assert_array_equal(dk, 0)
