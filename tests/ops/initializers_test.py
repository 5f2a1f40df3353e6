"""SPEC 3.0: kernels start uniform in +-1/sqrt(fan_in), as in PyTorch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.nets import heads
from jnas.ops import OPS, Settings, base, draws, skip

SETTINGS = Settings(affine=True, pool_norm=False)
C = 6


def layer(name, **options):
  return OPS[name].build(
    features=C, stride=1, targets=3, settings=SETTINGS, **options
  )


# Input shape and the fan-in of each kernel, by path.
FAN_IN = {
  "sep_conv_5x5": (
    layer("sep_conv_5x5"),
    (1, 1, 8, 8, C),
    {
      "depthwise_1/kernel": 25,
      "pointwise_1/kernel": C,
      "depthwise_2/kernel": 25,
      "pointwise_2/kernel": C,
    },
  ),
  "dil_conv_3x3": (
    layer("dil_conv_3x3"),
    (1, 1, 8, 8, C),
    {"depthwise/kernel": 9, "pointwise/kernel": C},
  ),
  "conv_7x1_1x7": (
    layer("conv_7x1_1x7"),
    (1, 1, 8, 8, C),
    {"horizontal/kernel": 7 * C, "vertical/kernel": 7 * C},
  ),
  "nor_conv_3x3": (
    layer("nor_conv_3x3"),
    (1, 1, 8, 8, C),
    {"conv/kernel": 9 * C},
  ),
  "reduction": (
    skip.FactorizedReduce(C, 3, True),
    (1, 1, 8, 8, 10),
    {"conv_1/kernel": 10, "conv_2/kernel": 10},
  ),
  "stem": (
    heads.Stem("cifar", 16),
    (1, 32, 32, 3),
    {"conv/kernel": 27},
  ),
  "auxiliary": (
    heads.AuxiliaryHead("cifar", 10),
    (1, 8, 8, 16),
    {
      "conv_1/kernel": 16,
      "conv_2": 4 * 128,
      "classifier/kernel": 768,
      "classifier/bias": 768,
    },
  ),
}


def fresh_params(module, shape, seed=0):
  key = jax.random.key(seed)
  init = functools.partial(module.init, x=jnp.zeros(shape), train=True)
  if isinstance(module, heads.Stem):
    init = functools.partial(module.init, images=jnp.zeros(shape), train=True)
  params = draws.initialize(init, key)["params"]
  return {
    "/".join(entry.key for entry in path): np.asarray(leaf, np.float64)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }


def check_uniform(values):
  """Values should be uniform in [-1, 1), by moments at 4 standard errors."""
  count = values.size
  assert np.all(np.abs(values) <= 1)
  # Variances of u, u^2 and u^4: 1/3, 1/5 - 1/9 and 1/9 - 1/25.
  assert abs(values.mean()) < 4 * (1 / 3 / count) ** 0.5
  assert abs(np.mean(values**2) - 1 / 3) < 4 * (4 / 45 / count) ** 0.5
  assert abs(np.mean(values**4) - 1 / 5) < 4 * (16 / 225 / count) ** 0.5


@pytest.mark.parametrize("name", FAN_IN)
def test_kernels_are_uniform_within_the_root_of_the_fan_in(name):
  module, shape, fans = FAN_IN[name]
  params = fresh_params(module, shape)
  norms = {path for path in params if "norm" in path}
  assert set(params) - norms == set(fans)
  for path in norms:
    expected = 1 if path.endswith("scale") else 0
    assert np.all(params[path] == expected)
  for path, fan_in in fans.items():
    assert np.all(np.abs(params[path]) <= fan_in**-0.5 * (1 + 1e-6))
  check_uniform(
    np.concatenate(
      [params[path].ravel() * fan_in**0.5 for path, fan_in in fans.items()]
    )
    / (1 + 1e-6)
  )


def test_one_kernel_drawn_from_its_key_has_the_same_law():
  init = base.torch_uniform(fan_in=16)
  kernel = init(jax.random.key(0), (40, 50))
  assert kernel.dtype == jnp.float32
  check_uniform(4 * np.asarray(kernel, np.float64))
  assert not jnp.any(kernel == init(jax.random.key(1), (40, 50)))


def separable(key):
  x = jnp.zeros((1, 1, 8, 8, C))
  return layer("sep_conv_5x5").init(key, x, train=True)


@pytest.fixture(scope="module")
def drawn():
  """By seed: the kernels of one module, from one function, drawn at once."""
  return {
    seed: draws.initialize(separable, jax.random.key(seed)) for seed in (0, 1)
  }


def test_what_is_drawn_at_once_has_the_layout_of_what_is_drawn_one_by_one(
  drawn,
):
  def layouts(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)

  expected = layouts(jax.eval_shape(separable, jax.random.key(0)))
  assert layouts(drawn[0]) == layouts(drawn[1]) == expected


def test_the_key_decides_the_draws(drawn):
  again = draws.initialize(separable, jax.random.key(0))
  jax.tree.map(np.testing.assert_array_equal, drawn[0], again)
  first, second = (
    np.asarray(drawn[seed]["params"]["depthwise_1"]["kernel"])
    for seed in (0, 1)
  )
  assert not np.any(first == second)


def test_no_two_kernels_share_their_draws(drawn):
  params = drawn[0]["params"]
  for layers in (
    ("depthwise_1", "depthwise_2"),
    ("pointwise_1", "pointwise_2"),
  ):
    kernels = np.concatenate(
      [np.asarray(params[name]["kernel"]) for name in layers]
    )
    flat = kernels.reshape(6, -1)
    for index in range(6):
      assert not np.any(flat[index] == np.delete(flat, index, axis=0))
