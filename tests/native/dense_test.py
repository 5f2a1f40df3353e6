"""Dense convolution against XLA's own, whose gradients JAX derives."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jnas.native import dense, lowering
from tests.native import kernels

TAPS = [(1, 1), (3, 3), (1, 7), (5, 1), (1, 3)]


@st.composite
def problems(draw, most_pixels=9, channels=(1, 2, 3, 4), sizes=TAPS):
  """Shapes of x, kernel, and the window's settings, many at an edge."""
  targets = draw(st.integers(1, 3))
  size = st.integers(1, most_pixels)
  x_shape = (
    draw(st.sampled_from([1, targets])),
    draw(st.integers(1, 3)),
    draw(size),
    draw(size),
    draw(st.sampled_from(channels)),
  )
  taps = draw(st.sampled_from(sizes))
  features = draw(st.sampled_from(channels))
  kernel_shape = (targets, *taps, x_shape[-1], features)
  window = dict(
    strides=draw(st.sampled_from([(1, 1), (2, 2), (1, 2), (2, 1), (3, 3)])),
    dilation=draw(st.sampled_from([1, 1, 2, 3])),
  )
  return x_shape, kernel_shape, window


def reference(x, kernel, *, strides, dilation):
  """One call of XLA for each target."""
  padding = [(dilation * (side // 2),) * 2 for side in kernel.shape[1:3]]
  return jnp.stack(
    [
      jax.lax.conv_general_dilated(
        x[min(target, len(x) - 1)],
        taps,
        strides,
        padding,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
      )
      for target, taps in enumerate(kernel)
    ]
  )


def make_operands(x_shape, kernel_shape, *, leading=()):
  """Returns x and kernel, float64."""
  random = np.random.default_rng(0)
  return [
    jnp.asarray(random.normal(size=(*leading, *shape)))
    for shape in (x_shape, kernel_shape)
  ]


def agree(a, b):
  for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def loss(function, x, kernel):
  """A loss whose second derivatives are not zero."""
  return jnp.sum(jnp.sin(function(x, kernel)))


@hypothesis.given(problems())
@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
def test_value_and_gradients_are_those_of_xla(problem):
  x_shape, kernel_shape, window = problem
  results = []
  with jax.enable_x64(True):
    operands = make_operands(x_shape, kernel_shape)
    for function in (lowering.dense_conv, reference):
      function = functools.partial(function, **window)
      gradient = jax.grad(functools.partial(loss, function), argnums=(0, 1))
      both = jax.jit(lambda *args, f=function, g=gradient: (f(*args), g(*args)))
      results.append(both(*operands))
  agree(*results)


@kernels.needs_kernels
@pytest.mark.parametrize(
  "dtype, tolerance", [(jnp.float32, 2e-5), (jnp.bfloat16, 2e-2)]
)
@hypothesis.given(
  problems(most_pixels=35, channels=(1, 3, 4, 8, 13, 16), sizes=TAPS[1:])
)
@hypothesis.settings(
  max_examples=25,
  deadline=None,
  derandomize=True,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_kernels_give_what_xla_gives_in_float64(
  every_size, dtype, tolerance, problem
):
  x_shape, kernel_shape, window = problem
  operands = [a.astype(dtype) for a in make_operands(x_shape, kernel_shape)]
  found, expected = run_both(*operands, **window)
  for one, other in zip(found, expected, strict=True):
    assert one.dtype == dtype
    close(one, other, tolerance)


@kernels.needs_kernels
@pytest.mark.parametrize("sources", [1, 2])
@pytest.mark.parametrize("in_axes", [(0, 0), (0, None), (None, 0)])
def test_kernels_under_vmap(every_size, sources, in_axes):
  shapes = (sources, 2, 6, 5, 3), (2, 3, 3, 3, 6)
  mapped = [a.astype(jnp.float32) for a in make_operands(*shapes, leading=(3,))]
  operands = [
    operand if axis == 0 else operand[0]
    for operand, axis in zip(mapped, in_axes, strict=True)
  ]
  results = []
  for function in (lowering.dense_conv, reference):
    conv = functools.partial(function, strides=(1, 2), dilation=1)
    both = jax.value_and_grad(functools.partial(loss, conv), argnums=(0, 1))
    results.append(jax.jit(jax.vmap(both, in_axes))(*operands))
  for one, other in zip(*map(jax.tree.leaves, results), strict=True):
    close(one, other, 2e-5)


@kernels.needs_kernels
def test_what_no_tap_reads_does_not_count(every_size):
  """The gradient of the kernel is as infinite as XLA's, no more."""
  x, kernel = (
    operand.astype(jnp.float32)
    for operand in make_operands((1, 2, 4, 5, 2), (1, 3, 3, 2, 3))
  )
  x = x.at[0, 0, 1, 4, 0].set(jnp.inf)
  found, expected = run_both(x, kernel, strides=(1, 1), dilation=1)
  is_finite = np.isfinite(expected[2])
  assert not is_finite.all()
  np.testing.assert_array_equal(np.isfinite(found[2]), is_finite)


@kernels.needs_kernels
@pytest.mark.parametrize(
  ("pixels", "channels", "calls"),
  [(16, 16, 3), (16, 32, 2), (16, 33, 0), (15, 8, 2), (15, 9, 0)],
)
def test_kernels_are_for_few_channels(pixels, channels, calls):
  shapes = (1, 2, 4, pixels, channels), (1, 3, 3, channels, channels)
  x, kernel = (a.astype(jnp.float32) for a in make_operands(*shapes))
  conv = functools.partial(lowering.dense_conv, strides=(1, 1), dilation=1)
  gradients = jax.jit(jax.grad(functools.partial(loss, conv), argnums=(0, 1)))
  program = gradients.lower(x, kernel).as_text()
  assert program.count("@jnas_dense") == calls


@pytest.fixture
def every_size(monkeypatch):
  """The kernels compute all sizes, those too for which XLA is faster."""
  monkeypatch.setattr(dense, "_VECTOR", 0)
  monkeypatch.setattr(dense, "_MOST_PAIRS", 10_000)
  monkeypatch.setattr(dense, "_MOST_PAIRS_BACK", 10_000)


def run_both(x, kernel, **window):
  """Value and gradients, here and by XLA in float64."""

  @functools.partial(jax.jit, static_argnums=0)
  def run(function, x, kernel):
    y, pull_back = jax.vjp(functools.partial(function, **window), x, kernel)
    # Of small whole numbers, which every type has.
    ct = jnp.arange(y.size).reshape(y.shape) % 7 - 3
    return y, *pull_back(ct.astype(y.dtype))

  found = run(lowering.dense_conv, x, kernel)
  with jax.enable_x64(True):
    wide = [operand.astype(jnp.float64) for operand in (x, kernel)]
    return found, run(reference, *wide)


def close(one, other, tolerance):
  one, other = (np.asarray(a, np.float64) for a in (one, other))
  size = max(1, np.abs(other).max(initial=0))
  np.testing.assert_allclose(one / size, other / size, atol=tolerance)


WINDOWS = [
  ((3, 3), dict(strides=(1, 1), dilation=1)),
  ((1, 5), dict(strides=(1, 2), dilation=1)),
  ((3, 3), dict(strides=(2, 2), dilation=2)),
]


@pytest.mark.parametrize("taps, window", WINDOWS)
@pytest.mark.parametrize("sources", [1, 2])
def test_second_derivatives(sources, taps, window, x64):
  operands = make_operands((sources, 2, 6, 5, 3), (2, *taps, 3, 2))
  tangents = [jnp.cos(operand) for operand in operands]
  results = []
  for function in (lowering.dense_conv, reference):
    value = functools.partial(loss, functools.partial(function, **window))
    gradient = jax.grad(value, argnums=(0, 1))
    forward_over_reverse = jax.jvp(gradient, operands, tangents)[1]

    def along(x, kernel, gradient=gradient):
      return sum(
        jnp.vdot(g, t)
        for g, t in zip(gradient(x, kernel), tangents, strict=True)
      )

    reverse_over_reverse = jax.grad(along, argnums=(0, 1))(*operands)
    agree(forward_over_reverse, reverse_over_reverse)
    results.append(forward_over_reverse)
  agree(*results)


@pytest.mark.parametrize("taps, window", WINDOWS)
@pytest.mark.parametrize("in_axes", [(0, 0), (0, None), (None, 0)])
@pytest.mark.parametrize("sources", [1, 2])
def test_vmap(sources, in_axes, taps, window, x64):
  shapes = (sources, 2, 6, 5, 3), (2, *taps, 3, 2)
  mapped = make_operands(*shapes, leading=(3,))
  operands = [
    operand if axis == 0 else operand[0]
    for operand, axis in zip(mapped, in_axes, strict=True)
  ]
  results = []
  for function in (lowering.dense_conv, reference):
    value = functools.partial(loss, functools.partial(function, **window))
    both = jax.value_and_grad(value, argnums=(0, 1))
    results.append(jax.vmap(both, in_axes)(*operands))
  agree(*results)


def test_gradients_in_a_branch_have_the_layout_that_is_fast():
  """Elsewhere XLA brings them into it; see `jnas.native.dense`."""
  x, kernel = (
    operand.astype(jnp.float32)
    for operand in make_operands((1, 2, 8, 8, 33), (1, 3, 3, 33, 32))
  )

  def gradients(x, kernel):
    conv = functools.partial(lowering.dense_conv, strides=(1, 1), dilation=1)
    return jax.grad(functools.partial(loss, conv), argnums=(0, 1))(x, kernel)

  def unchanged(x, kernel):
    return x, kernel

  def chosen(pick, x, kernel):
    return jax.lax.cond(pick, gradients, unchanged, x, kernel)

  program = jax.jit(chosen).lower(True, x, kernel).compile().as_text() or ""
  convolutions = [line for line in program.splitlines() if "window=" in line]
  assert len(convolutions) >= 3
  assert all("b01f_01io->b01f" in line for line in convolutions)


@pytest.mark.parametrize(
  "x_shape, kernel_shape, strides, dilation, message",
  [
    ((2, 1, 4, 4, 1), (3, 3, 3, 1, 1), (1, 1), 1, "use 1 or 3"),
    ((1, 1, 4, 4, 1), (1, 2, 3, 1, 1), (1, 1), 1, "kernel is 2x3"),
    ((1, 1, 4, 4, 3), (1, 3, 3, 2, 1), (1, 1), 1, "has 2 channels"),
    ((1, 1, 4, 4, 1), (1, 3, 3, 1, 1), (1, 0), 1, "stride"),
    ((1, 1, 4, 4, 1), (1, 3, 3, 1, 1), (1, 1), 0, "dilation"),
  ],
)
def test_bad_shapes(x_shape, kernel_shape, strides, dilation, message):
  x, kernel = make_operands(x_shape, kernel_shape)
  with pytest.raises(ValueError, match=message):
    lowering.dense_conv(x, kernel, strides=strides, dilation=dilation)


@pytest.mark.parametrize("taps", [(1, 1), (3, 3)])
def test_other_types_are_refused(taps):
  x, kernel = make_operands((1, 1, 4, 4, 1), (1, *taps, 1, 1))
  with pytest.raises(ValueError, match="use the type of the input, bfloat16"):
    lowering.dense_conv(
      x.astype(jnp.bfloat16), kernel, strides=(1, 1), dilation=1
    )


def test_a_shard_map_that_would_lose_a_sum_is_refused():
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",))
  spec = jax.sharding.PartitionSpec
  x, kernel = make_operands((1, 2, 4, 4, 1), (1, 3, 3, 1, 1))
  conv = functools.partial(lowering.dense_conv, strides=(1, 1), dilation=1)
  split = functools.partial(
    jax.shard_map,
    conv,
    mesh=mesh,
    in_specs=(spec(None, "data"), spec()),
    out_specs=spec(None, "data"),
  )
  with pytest.raises(ValueError, match="dense_conv: .* check_vma=False"):
    split()(x, kernel)
  agree(split(check_vma=False)(x, kernel), conv(x, kernel))
