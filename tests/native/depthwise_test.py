import functools
import itertools
import re

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jnas.native import depthwise, library, lowering
from tests.native import kernels

both_codes = kernels.both_codes()
each_relu = pytest.mark.parametrize("relu", [False, True], ids=["", "relu"])
TOLERANCE = {np.float32: 3e-5, np.float64: 1e-12, jnp.bfloat16: 1e-2}


@st.composite
def problems(draw, largest=36):
  """Arguments of `make_problem`, many of them at an edge."""
  sources = draw(st.sampled_from([1, 1, 2, 3]))
  multiplier = draw(st.sampled_from([1, 1, 2, 3]))
  size = st.one_of(st.integers(1, 4), st.integers(5, largest))
  return dict(
    x_shape=(
      sources,
      draw(st.integers(0, 3)),
      draw(size),
      draw(size),
      draw(st.sampled_from([1, 3, 7, 8, 13, 16, 20, 24, 29, 32, 40])),
    ),
    targets=sources * multiplier,
    taps=draw(st.sampled_from([1, 3, 5, 7, 9])),
    stride=draw(st.sampled_from([1, 2, 3])),
    dilation=draw(st.sampled_from([1, 2, 3])),
    relu=draw(st.booleans()),
  )


def make_problem(x_shape, targets, taps, stride, dilation, dtype, relu=False):
  """Returns (x, kernel, g, settings) whose values are exact in `dtype`."""
  random = np.random.default_rng(0)
  _, batch, height, width, channels = x_shape
  shapes = [
    x_shape,
    (targets, taps, taps, channels),
    (targets, batch, -(-height // stride), -(-width // stride), channels),
  ]
  values = [jnp.asarray(random.normal(size=s), dtype) for s in shapes]
  return *values, dict(stride=stride, dilation=dilation, relu=relu)


def read_windows(padded, taps, stride, dilation, size):
  """Yields (tap row, tap column, view of what each output reads there)."""
  span = [(n - 1) * stride + 1 for n in size]
  for i, j in itertools.product(range(taps), repeat=2):
    top, left = i * dilation, j * dilation
    yield (
      i,
      j,
      padded[
        ..., top : top + span[0] : stride, left : left + span[1] : stride, :
      ],
    )


def define(x, kernel, g, *, stride, dilation, relu):
  """Returns output and both gradients, in NumPy and float64."""
  x, kernel, g = (np.asarray(a, np.float64) for a in (x, kernel, g))
  is_open = (x > 0) | (not relu)
  x = x * is_open
  sources, batch, height, width, channels = x.shape
  targets, taps = kernel.shape[:2]
  padding = dilation * (taps // 2)
  padded = np.pad(x, [(0, 0), (0, 0), (padding,) * 2, (padding,) * 2, (0, 0)])
  padded = np.repeat(padded, targets // sources, axis=0)
  y, dk, dx = np.zeros(g.shape), np.zeros(kernel.shape), np.zeros(padded.shape)
  window = taps, stride, dilation, g.shape[2:4]
  for i, j, read in read_windows(padded, *window):
    y += read * kernel[:, i, j][:, None, None, None]
    dk[:, i, j] = (read * g).sum((1, 2, 3))
  for i, j, place in read_windows(dx, *window):
    place += g * kernel[:, i, j][:, None, None, None]
  dx = dx[:, :, padding : padding + height, padding : padding + width]
  split = (sources, targets // sources, batch, height, width, channels)
  dx = dx.reshape(split).sum(1) * is_open
  return y, dx, dk


def assert_close(actual, expected, dtype):
  expected = np.asarray(expected, np.float64)
  scale = max(1.0, np.abs(expected).max(initial=0.0))
  np.testing.assert_allclose(
    np.asarray(actual, np.float64) / scale,
    expected / scale,
    rtol=0,
    atol=TOLERANCE[dtype],
  )


def check_against_definition(problem, dtype):
  x, kernel, g, settings = make_problem(**problem, dtype=dtype)
  y, pull_back = jax.vjp(
    functools.partial(lowering.depthwise_conv, **settings), x, kernel
  )
  results = y, *pull_back(g)
  for actual, expected in zip(
    results, define(x, kernel, g, **settings), strict=True
  ):
    assert actual.dtype == dtype
    assert_close(actual, expected, dtype)


@kernels.needs_kernels
@hypothesis.given(problems())
@hypothesis.settings(max_examples=12, deadline=None, derandomize=True)
def test_kernels_give_value_and_gradients_by_definition(problem):
  check_against_definition(problem, np.float32)


@kernels.needs_kernels
@hypothesis.given(problems())
@hypothesis.settings(max_examples=6, deadline=None, derandomize=True)
def test_kernels_take_bfloat16_and_sum_in_float32(problem):
  check_against_definition(problem, jnp.bfloat16)


@pytest.mark.parametrize(
  "problem",
  [
    dict(x_shape=(1, 2, 5, 6, 3), targets=2, taps=3, stride=1, dilation=1),
    dict(x_shape=(2, 1, 7, 4, 2), targets=2, taps=5, stride=2, dilation=2),
    dict(x_shape=(1, 1, 1, 1, 1), targets=1, taps=3, stride=2, dilation=1),
    dict(x_shape=(1, 0, 3, 3, 2), targets=1, taps=3, stride=1, dilation=1),
  ],
)
@each_relu
def test_xla_gives_value_and_gradients_by_definition(problem, relu, x64):
  check_against_definition(problem | {"relu": relu}, np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@hypothesis.given(problems(largest=9))
@hypothesis.settings(max_examples=4, deadline=None, derandomize=True)
def test_xla_gives_the_same_at_any_shape(dtype, problem):
  with jax.enable_x64(True):
    x, kernel, g, settings = make_problem(**problem, dtype=dtype)
    gate = (x,) if settings["relu"] else ()
    window = {name: settings[name] for name in ("stride", "dilation")}
    results = (
      depthwise._convolve_slices(x, kernel, *gate, **window),
      depthwise._input_gradient_slices(
        *(kernel, g, *gate), sources=len(x), size=x.shape[2:4], **window
      ),
      depthwise._kernel_gradient_slices(
        *(x, g, *gate), taps=problem["taps"], **window
      ),
    )
    for actual, expected in zip(
      results, define(x, kernel, g, **settings), strict=True
    ):
      assert actual.dtype == dtype
      assert_close(actual, expected, dtype)


@kernels.needs_kernels
@hypothesis.given(problems())
@hypothesis.settings(max_examples=6, deadline=None, derandomize=True)
def test_kernels_give_tangents_by_definition(problem):
  problem["relu"] = True
  x, kernel, _, settings = make_problem(**problem, dtype=np.float32)
  convolve = functools.partial(lowering.depthwise_conv, **settings)
  t = jnp.cos(3 * x)
  _, tangent = jax.jvp(lambda x: convolve(x, kernel), (x,), (t,))
  settings["relu"] = False
  y, _, _ = define(t * (x > 0), kernel, tangent, **settings)
  assert_close(tangent, y, np.float32)


@both_codes
def test_the_relu_lets_a_nan_pass(dtype, x64):
  x, kernel, _, settings = make_problem(
    (1, 1, 3, 3, 20), 1, 3, 1, 1, dtype, relu=True
  )
  y = lowering.depthwise_conv(x.at[0, 0, 0, 0].set(jnp.nan), kernel, **settings)
  is_nan = jnp.isnan(y[0, 0]).all(-1)
  np.testing.assert_array_equal(is_nan, np.pad(np.ones((2, 2)), (0, 1)))


@each_relu
@pytest.mark.parametrize(
  "stride,dilation", [(1, 1), (2, 1), (1, 2), (1, 3), (2, 2), (2, 3)]
)
def test_grouped_convolution_for_accelerators_agrees(
  stride, dilation, relu, x64
):
  x, kernel, g, settings = make_problem(
    (2, 2, 5, 4, 3), 4, 3, stride, dilation, np.float64, relu
  )
  y, dx, dk = define(x, kernel, g, **settings)
  gate = (x,) if settings.pop("relu") else ()
  actual = depthwise._convolve_grouped(x, kernel, *gate, **settings)
  assert_close(actual, y, np.float64)
  actual = depthwise._input_gradient_grouped(
    kernel, g, *gate, sources=2, size=(5, 4), **settings
  )
  assert_close(actual, dx, np.float64)
  actual = depthwise._kernel_gradient_grouped(x, g, *gate, taps=3, **settings)
  assert_close(actual, dk, np.float64)


def test_accelerators_get_one_grouped_convolution():
  x, kernel, _, settings = make_problem((1, 2, 4, 4, 3), 5, 3, 1, 1, np.float32)
  traced = jax.jit(
    functools.partial(lowering.depthwise_conv, **settings)
  ).trace(x, kernel)
  text = traced.lower(lowering_platforms=("cuda",)).as_text()
  assert text.count("stablehlo.convolution") == 1
  assert "feature_group_count = 3" in text


@pytest.mark.parametrize("stride", [1, 2])
def test_accelerators_get_no_gradient_of_dilated_taps(stride):
  x, kernel, _, settings = make_problem((1, 2, 4, 4, 3), 2, 3, stride, 2, "f4")

  def loss(kernel):
    return jnp.sin(lowering.depthwise_conv(x, kernel, **settings)).sum()

  lowered = jax.jit(jax.grad(loss)).trace(kernel)
  text = lowered.lower(lowering_platforms=("cuda",)).as_text()
  forward, backward = re.findall(r"stablehlo.convolution.*", text)
  assert "rhs_dilate = [2, 2]" in forward
  # The gradient of dilated taps is a convolution with that stride.
  assert "stride = [2, 2]" not in backward


def second_derivatives(convolve, x, kernel):
  """Reverse over reverse and forward over reverse, of a bent output."""

  def loss(x, kernel):
    return jnp.sin(convolve(x, kernel)).sum()

  def slope(x, kernel):
    dx, dk = jax.grad(loss, (0, 1))(x, kernel)
    return jnp.square(dx).sum() + jnp.square(dk).sum()

  gradients = jax.grad(loss, (0, 1))
  _, forward = jax.jvp(gradients, (x, kernel), (jnp.cos(x), jnp.cos(kernel)))
  return *jax.grad(slope, (0, 1))(x, kernel), *forward


def check_second_derivatives(problem, dtype, tolerance):
  """Against those of XLA's grouped convolution in float64."""
  x, kernel, _, settings = make_problem(**problem, dtype=dtype)

  def by_xla(x, kernel):
    x = jax.nn.relu(x) if settings["relu"] else x
    return depthwise._convolve_grouped(
      x, kernel, stride=settings["stride"], dilation=settings["dilation"]
    )

  ours = functools.partial(lowering.depthwise_conv, **settings)
  actual = jax.jit(functools.partial(second_derivatives, ours))(x, kernel)
  expected = jax.jit(functools.partial(second_derivatives, by_xla))(
    x.astype(np.float64), kernel.astype(np.float64)
  )
  for a, b in zip(actual, expected, strict=True):
    b = np.asarray(b)
    scale = max(1.0, np.abs(b).max(initial=0.0))
    np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=tolerance)


@both_codes
@each_relu
@pytest.mark.parametrize(
  "targets,stride,dilation", [(2, 1, 2), (1, 2, 1)], ids=str
)
def test_second_derivatives_are_those_of_a_convolution(
  dtype, targets, stride, dilation, relu, x64
):
  problem = dict(
    x_shape=(1, 1, 4, 3, 2),
    targets=targets,
    taps=3,
    stride=stride,
    dilation=dilation,
    relu=relu,
  )
  check_second_derivatives(problem, dtype, TOLERANCE[dtype])


@kernels.needs_kernels
@hypothesis.given(problems(largest=9))
@hypothesis.settings(max_examples=3, deadline=None, derandomize=True)
def test_second_derivatives_agree_at_any_shape(problem):
  with jax.enable_x64(True):
    check_second_derivatives(problem, np.float32, 1e-4)


def check_vmap(problem, axes, dtype):
  x, kernel, _, settings = make_problem(**problem, dtype=dtype)
  values = [
    a if axis is None else jnp.stack([a, 2 * a, a - 1], axis)
    for a, axis in zip((x, kernel), axes, strict=True)
  ]

  def gradients(x, kernel):
    def loss(x, kernel):
      return jnp.sin(lowering.depthwise_conv(x, kernel, **settings)).sum()

    return jax.value_and_grad(loss, (0, 1))(x, kernel)

  mapped = jax.jit(jax.vmap(gradients, axes))(*values)
  for i in range(3):
    chosen = [
      a if axis is None else jnp.take(a, i, axis)
      for a, axis in zip(values, axes, strict=True)
    ]
    for a, b in zip(
      jax.tree.leaves(mapped), jax.tree.leaves(gradients(*chosen)), strict=True
    ):
      assert_close(a[i], b, dtype)


@both_codes
@each_relu
@pytest.mark.parametrize("sources", [1, 2])
@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0), (2, 1)])
def test_vmap_is_a_loop(dtype, sources, axes, relu, x64):
  problem = dict(
    x_shape=(sources, 1, 3, 4, 2),
    targets=2,
    taps=3,
    stride=1,
    dilation=1,
    relu=relu,
  )
  check_vmap(problem, axes, dtype)


@kernels.needs_kernels
@hypothesis.given(
  problems(largest=9), st.sampled_from([(0, 0), (0, None), (None, 0), (4, 2)])
)
@hypothesis.settings(max_examples=3, deadline=None, derandomize=True)
def test_vmap_is_a_loop_at_any_shape(problem, axes):
  check_vmap(problem, axes, np.float32)


@both_codes
def test_checkpoint_changes_nothing(dtype, x64):
  x, kernel, g, settings = make_problem((1, 2, 6, 5, 4), 2, 3, 2, 1, dtype)
  convolve = functools.partial(lowering.depthwise_conv, **settings)

  def gradients(convolve):
    return jax.jit(lambda x, k: jax.vjp(convolve, x, k)[1](g))(x, kernel)

  for a, b in zip(
    gradients(jax.checkpoint(convolve)), gradients(convolve), strict=True
  ):
    assert_close(a, b, dtype)


@kernels.needs_kernels
def test_kernels_repeat_to_the_last_bit():
  x, kernel, g, settings = make_problem(
    (1, 37, 17, 19, 24), 3, 5, 1, 1, np.float32
  )
  convolve = functools.partial(lowering.depthwise_conv, **settings)
  gradients = jax.jit(lambda x, k: jax.vjp(convolve, x, k)[1](g))
  first = [np.asarray(a) for a in gradients(x, kernel)]
  for _ in range(20):
    for a, b in zip(gradients(x, kernel), first, strict=True):
      np.testing.assert_array_equal(a, b)


@kernels.needs_kernels
@each_relu
def test_each_derivative_is_one_instruction(relu):
  x, kernel, g, settings = make_problem(
    (1, 2, 6, 5, 4), 2, 3, 1, 1, np.float32, relu
  )
  convolve = functools.partial(lowering.depthwise_conv, **settings)

  def gradients(x, kernel, g):
    y, pull_back = jax.vjp(convolve, x, kernel)
    return y, *pull_back(g)

  text = jax.jit(gradients).lower(x, kernel, g).compile().as_text()
  assert text.count("custom-call(") == 3
  assert text.count("fusion(") == text.count("maximum(") == 0


@kernels.needs_kernels
def test_an_exported_program_needs_no_kernels():
  x, kernel, g, settings = make_problem((1, 2, 6, 5, 4), 2, 3, 1, 1, np.float32)
  convolve = jax.jit(functools.partial(lowering.depthwise_conv, **settings))
  exported = jax.export.export(convolve)(x, kernel)
  assert "custom_call" not in exported.mlir_module()
  assert_close(exported.call(x, kernel), convolve(x, kernel), np.float32)


@pytest.mark.parametrize(
  "change,message",
  [
    (dict(kernel=(2, 4, 4, 3)), "4x4; use a square of odd size"),
    (dict(kernel=(2, 3, 3, 5)), "5 channels; the input has 3"),
    (dict(kernel=(3, 3, 3, 3)), "3 targets; use a multiple of the 2"),
    (dict(dtype=jnp.bfloat16), "bfloat16; use the type of the input"),
    (dict(stride=0), "stride 0 and dilation 1"),
  ],
)
def test_wrong_arguments_are_named(change, message):
  kernel = jnp.zeros(
    change.get("kernel", (2, 3, 3, 3)), change.get("dtype", np.float32)
  )
  with pytest.raises(ValueError, match=message):
    lowering.depthwise_conv(
      jnp.zeros((2, 1, 4, 4, 3)),
      kernel,
      stride=change.get("stride", 1),
      dilation=1,
    )


@kernels.needs_kernels
def test_a_kernel_names_the_shape_that_is_wrong():
  x, kernel, _, _ = make_problem((1, 2, 6, 5, 4), 2, 3, 1, 1, np.float32)
  with pytest.raises(Exception, match=r"output has shape \[2, 2, 6, 6, 4\]"):
    library.call(
      "jnas_convolve",
      [((2, 2, 6, 6, 4), np.float32)],
      x,
      kernel,
      stride=1,
      dilation=1,
    )[0].block_until_ready()
