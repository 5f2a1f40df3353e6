import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jnas.native import lowering
from tests.native import kernels

both_codes = kernels.both_codes()
POOLS = {"max": lowering.max_pool, "avg": lowering.avg_pool}
both_pools = pytest.mark.parametrize("name", POOLS)


@st.composite
def problems(draw):
  size = st.one_of(st.integers(1, 4), st.integers(5, 20))
  shape = (
    draw(st.integers(0, 3)),
    draw(size),
    draw(size),
    draw(st.sampled_from([1, 3, 7, 8, 16, 20, 24, 29])),
  )
  return shape, draw(st.sampled_from([1, 2, 3]))


def make_images(shape, dtype):
  """Values from few, so that windows have ties."""
  random = np.random.default_rng(0)
  return jnp.asarray(random.integers(-3, 4, shape) / 2, dtype)


def define(name, x, g, stride):
  """Returns the pooled images, and the gradient of x for g, cell by cell."""
  x, g = np.asarray(x, np.float64), np.asarray(g, np.float64)
  y, dx = np.zeros(g.shape), np.zeros(x.shape)
  for h, w in np.ndindex(g.shape[1:3]):
    rows = [
      i for i in range(h * stride - 1, h * stride + 2) if 0 <= i < x.shape[1]
    ]
    columns = [
      j for j in range(w * stride - 1, w * stride + 2) if 0 <= j < x.shape[2]
    ]
    cells = [(i, j) for i in rows for j in columns]
    values = np.stack([x[:, i, j] for i, j in cells])
    if name == "avg":
      y[:, h, w] = values.mean(0)
      shares = np.full(values.shape, 1 / len(cells))
    else:
      y[:, h, w] = values.max(0)
      # argmax takes the first of equals.
      shares = values.argmax(0) == np.arange(len(cells))[:, None, None]
    for (i, j), share in zip(cells, shares, strict=True):
      dx[:, i, j] += share * g[:, h, w]
  return y, dx


def check_against_definition(name, shape, stride, dtype, tolerance):
  x = make_images(shape, dtype)
  y, pull_back = jax.vjp(functools.partial(POOLS[name], stride=stride), x)
  g = jnp.asarray(np.random.default_rng(1).normal(size=y.shape), dtype)
  (dx,) = pull_back(g)
  for actual, expected in zip((y, dx), define(name, x, g, stride), strict=True):
    assert actual.dtype == dtype
    np.testing.assert_allclose(
      np.asarray(actual, np.float64), expected, rtol=0, atol=tolerance
    )


@kernels.needs_kernels
@both_pools
@hypothesis.given(problem=problems())
@hypothesis.settings(max_examples=8, deadline=None, derandomize=True)
def test_kernels_pool_by_definition(name, problem):
  check_against_definition(name, *problem, np.float32, 1e-5)


@kernels.needs_kernels
@both_pools
def test_kernels_pool_bfloat16(name):
  check_against_definition(name, (2, 7, 6, 20), 2, jnp.bfloat16, 5e-2)


@both_pools
@pytest.mark.parametrize(
  "shape,stride", [((2, 5, 4, 3), 1), ((1, 1, 1, 2), 2), ((0, 4, 4, 1), 2)]
)
def test_xla_pools_by_definition(name, shape, stride, x64):
  check_against_definition(name, shape, stride, np.float64, 1e-12)


@both_codes
def test_means_at_corner_edge_and_middle_count_real_cells(dtype, x64):
  x = jnp.zeros((1, 3, 3, 1), dtype).at[0, 1, 1, 0].set(36.0)
  # A corner sees 4 cells, an edge 6, the middle 9: 36/4, 36/6, 36/9.
  expected = [[9, 6, 9], [6, 4, 6], [9, 6, 9]]
  actual = lowering.avg_pool(x, stride=1)[0, :, :, 0]
  np.testing.assert_allclose(actual, expected, rtol=1e-6)


@both_codes
def test_padding_never_wins_and_infinities_keep_a_gradient(dtype, x64):
  x = jnp.full((1, 2, 2, 1), -jnp.inf, dtype)
  y, pull_back = jax.vjp(functools.partial(lowering.max_pool, stride=2), x)
  np.testing.assert_array_equal(y, -np.inf)
  # All four are equal: the first real one gets it.
  (dx,) = pull_back(jnp.ones_like(y))
  np.testing.assert_array_equal(dx[0, :, :, 0], [[1, 0], [0, 0]])


@both_codes
def test_a_nan_reaches_every_window_it_is_in(dtype, x64):
  x = jnp.ones((1, 5, 5, 1), dtype).at[0, 2, 1, 0].set(jnp.nan)
  is_nan = np.isnan(lowering.max_pool(x, stride=1)[0, :, :, 0])
  expected = np.zeros((5, 5), bool)
  expected[1:4, 0:3] = True
  np.testing.assert_array_equal(is_nan, expected)


@both_codes
@both_pools
def test_second_derivatives_agree_both_ways(name, dtype, x64):
  pool = functools.partial(POOLS[name], stride=2)
  x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3, 4, 2)), dtype)
  gradient = jax.grad(lambda x: jnp.sin(pool(x)).sum())
  reverse = jax.jit(jax.jacrev(gradient))(x)
  forward = jax.jit(jax.jacfwd(gradient))(x)
  # With A the (here constant) Jacobian of the pool: A' diag(-sin(A x)) A.
  size = x.size
  jacobian = np.asarray(jax.jacrev(pool)(x), np.float64).reshape(-1, size)
  bend = -np.sin(jacobian @ np.asarray(x, np.float64).ravel())
  expected = jacobian.T @ (bend[:, None] * jacobian)
  for actual in (reverse, forward):
    np.testing.assert_allclose(
      np.asarray(actual).reshape(size, size), expected, rtol=0, atol=1e-6
    )


@both_codes
@both_pools
def test_vmap_is_a_loop(name, dtype, x64):
  x = make_images((2, 5, 3, 4, 2), dtype)

  def gradient(x):
    pool = functools.partial(POOLS[name], stride=2)
    return jax.grad(lambda x: jnp.sin(pool(x)).sum())(x)

  mapped = jax.jit(jax.vmap(gradient, 1, 1))(x)
  for i in range(x.shape[1]):
    np.testing.assert_allclose(mapped[:, i], gradient(x[:, i]), rtol=1e-6)


@both_codes
@both_pools
def test_checkpoint_changes_nothing(name, dtype, x64):
  x = make_images((2, 5, 4, 3), dtype)
  pool = functools.partial(POOLS[name], stride=1)
  plain, again = (
    jax.jit(jax.grad(lambda x, f=f: jnp.sin(f(x)).sum()))(x)
    for f in (pool, jax.checkpoint(pool))
  )
  np.testing.assert_allclose(again, plain, rtol=1e-6)


def test_wrong_arguments_are_named():
  with pytest.raises(ValueError, match="stride 0"):
    lowering.max_pool(jnp.zeros((1, 2, 2, 1)), stride=0)
