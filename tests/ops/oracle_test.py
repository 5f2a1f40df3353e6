"""SPEC 4.1, A1 and A3: operations against the authors' outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import test_util

from jnas.nets import heads
from jnas.ops import OPS, Settings, base, skip
from tests.nets import oracle

SUPERNET = Settings(affine=False, pool_norm=True)
# The operations of `darts_ops.npz`.
NAMES = (
  "none",
  "max_pool_3x3",
  "avg_pool_3x3",
  "skip_connect",
  "sep_conv_3x3",
  "sep_conv_5x5",
  "sep_conv_7x7",
  "dil_conv_3x3",
  "dil_conv_5x5",
)
# Those without an oracle, by the kernel and stride axes of their convolutions.
DENSE = {
  "nor_conv_1x1": {"conv": ((1, 1), (1, 1))},
  "nor_conv_3x3": {"conv": ((3, 3), (1, 1))},
  "conv_7x1_1x7": {
    "horizontal": ((1, 7), (0, 1)),
    "vertical": ((7, 1), (1, 0)),
  },
}
each_stride = pytest.mark.parametrize("stride", [1, 2])


@pytest.fixture(scope="module")
def authors(shared):
  with np.load(shared / "oracles" / "darts_ops.npz") as arrays:
    return dict(arrays)


def build(name, stride, *, targets=1, settings=SUPERNET, features=4):
  return OPS[name].build(
    features=features, stride=stride, targets=targets, settings=settings
  )


def apply(module, params, x):
  """The output in training mode."""
  return module.apply(
    {"params": params}, x, train=True, mutable=["batch_stats"]
  )[0]


def layout(kernel):
  """The authors' kernel as ours with T = 1: depthwise, 1x1."""
  is_pointwise = kernel.shape[:2] == (1, 1)
  return (kernel[0, 0] if is_pointwise else kernel[:, :, 0])[None]


def params_of(authors, name, stride, dtype):
  prefix = f"{name}/s{stride}/"
  kernels = {
    key.removeprefix(prefix): layout(np.asarray(value, dtype))
    for key, value in authors.items()
    if key.startswith(prefix) and not key.endswith("/y")
  }
  if "conv_1" in kernels:
    halves = {key: {"kernel": value} for key, value in kernels.items()}
    return {"reduce": halves}
  return {
    ours: {"kernel": kernels[theirs]}
    for ours, theirs in oracle.KERNELS.items()
    if theirs in kernels
  }


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [("float64", 1e-9), ("float32", 2e-5)]
)
@each_stride
@pytest.mark.parametrize("name", NAMES)
def test_an_operation_gives_the_authors_output(
  authors, name, stride, dtype, tolerance
):
  with jax.enable_x64(dtype == "float64"):
    params = params_of(authors, name, stride, dtype)
    x = jnp.asarray(authors["x"], dtype)[None]
    y = apply(build(name, stride), params, x)
    assert y.dtype == dtype
    np.testing.assert_allclose(
      y[0], authors[f"{name}/s{stride}/y"], rtol=tolerance, atol=tolerance
    )


def test_the_oracle_has_every_operation_of_the_list_and_no_other(authors):
  known = {key.split("/")[0] for key in authors if "/" in key}
  assert known == {*NAMES, "raw_max_pool", "raw_avg_pool", "relu_conv_bn"}


@pytest.mark.parametrize(
  ("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-6)]
)
@each_stride
@pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
def test_a_pool_without_norm_gives_the_authors_output(
  authors, name, stride, dtype, tolerance
):
  with jax.enable_x64(dtype == "float64"):
    module = build(
      f"{name}_3x3", stride, settings=SUPERNET._replace(pool_norm=False)
    )
    y = apply(module, {}, jnp.asarray(authors["x"], dtype)[None])
    np.testing.assert_allclose(
      y[0],
      authors[f"raw_{name}/s{stride}/y"],
      rtol=tolerance,
      atol=tolerance,
    )


def test_preprocessing_gives_the_authors_output(authors, x64):
  kernel = authors["relu_conv_bn/conv"]
  y = apply(
    heads.ReLUConvNorm(6, affine=False),
    {"conv": {"kernel": layout(kernel)}},
    jnp.asarray(authors["x"]),
  )
  np.testing.assert_allclose(y, authors["relu_conv_bn/y"], atol=1e-9)


@each_stride
@pytest.mark.parametrize("name", [*NAMES, *DENSE])
def test_gradients_equal_finite_differences(authors, name, stride, x64):
  module = build(name, stride)
  x = jnp.asarray(authors["x"])[:, :4, :4][None]
  shapes = jax.eval_shape(lambda: module.init(jax.random.key(1), x, train=True))
  random = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: jnp.asarray(random.normal(size=leaf.shape)),
    shapes.get("params", {}),
  )
  weights = jnp.cos(jnp.arange(x.size).reshape(x.shape))

  @jax.jit
  def project(params, x):
    y = apply(module, params, x)
    return jnp.sum(y * weights[:, :, ::stride, ::stride])

  test_util.check_grads(
    project, (params, x), order=1, modes=["rev"], atol=1e-5, rtol=1e-5
  )


@each_stride
@pytest.mark.parametrize("name", DENSE)
def test_dense_convolutions_equal_sums_over_windows(name, stride, x64):
  random = np.random.default_rng(0)
  x = random.normal(size=(2, 6, 8, 3))
  y, params = np.maximum(x, 0), {}
  for layer, ((height, width), axes) in DENSE[name].items():
    kernel = random.normal(size=(height, width, 3, 3))
    params[layer] = {"kernel": kernel[None]}
    rows, columns = (stride if axis else 1 for axis in axes)
    padding = [(0, 0), (height // 2,) * 2, (width // 2,) * 2, (0, 0)]
    windows = np.lib.stride_tricks.sliding_window_view(
      np.pad(y, padding), (height, width), axis=(1, 2)
    )[:, ::rows, ::columns]
    y = np.einsum("bhwcij,ijcd->bhwd", windows, kernel)
  y = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5)
  ours = apply(build(name, stride, features=3), params, jnp.asarray(x)[None])
  np.testing.assert_allclose(ours[0], y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
  ("height", "width", "features", "message"),
  [
    (7, 8, 4, "an image of 7x8: height and width must be even"),
    (8, 5, 4, "an image of 8x5: height and width must be even"),
    (8, 8, 3, "3 channels into two halves"),
  ],
)
def test_a_reduction_refuses_what_it_cannot_halve(
  height, width, features, message
):
  module = skip.FactorizedReduce(features, targets=1, affine=False)
  x = jnp.zeros((1, 2, height, width, 4))
  with pytest.raises(ValueError, match=message):
    module.init(jax.random.key(0), x, train=True)


def test_the_two_halves_of_a_reduction_look_at_different_pixels():
  # One channel in, one of each half out; the norm only shifts and scales.
  x = jnp.arange(16.0).reshape(1, 1, 4, 4, 1)
  kernel = {"kernel": jnp.ones((1, 1, 1))}
  y = apply(
    skip.FactorizedReduce(2, targets=1, affine=False),
    {"conv_1": kernel, "conv_2": kernel},
    x,
  )
  # Pixels 0, 2, 8, 10 and 5, 7, 13, 15: means 5 and 10, variance 17 both.
  scale = (17 + base.BATCH_NORM_EPS) ** 0.5
  np.testing.assert_allclose(
    y[0, 0, :, :, 0] * scale, [[-5, -3], [3, 5]], rtol=1e-5
  )
  np.testing.assert_allclose(
    y[0, 0, :, :, 1] * scale, [[-5, -3], [3, 5]], rtol=1e-5
  )
