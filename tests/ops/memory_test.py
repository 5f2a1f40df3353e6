"""What is kept of a convolution's input between forward and backward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.nets import heads
from jnas.ops import OPS, Settings, base, skip

SETTINGS = Settings(affine=False, pool_norm=True)


def op(name):
  return OPS[name].build(features=6, stride=2, targets=1, settings=SETTINGS)


def kept(module, x):
  """Channels and number of values of what the derivative holds."""
  variables = module.init(jax.random.key(0), x, train=True)

  def run(x, params):
    whole = {**variables, "params": params}
    y, _ = module.apply(whole, x, train=True, mutable=["batch_stats"])
    return y

  _, pull = jax.vjp(run, x, variables["params"])
  return [
    (leaf.shape[-1], leaf.size)
    for leaf in jax.tree.leaves(pull)
    if jnp.ndim(leaf) >= 4
  ]


@pytest.mark.parametrize(
  "module",
  [
    heads.ReLUConvNorm(6, False),
    skip.FactorizedReduce(6, 1, False),
    op("conv_3x3"),
    op("conv_7x1_1x7"),
  ],
  ids=["pointwise", "reduction", "dense", "pair"],
)
def test_what_a_relu_makes_of_the_input_is_computed_again(module):
  random = np.random.default_rng(0)
  shape = (4, 8, 8, 5)
  if not isinstance(module, heads.ReLUConvNorm):
    shape = (1, *shape)
  x = jnp.asarray(random.normal(size=shape), jnp.float32)
  images = [size for channels, size in kept(module, x) if channels == 5]
  # Of what the convolutions read there is the input alone, and once.
  assert images == [x.size]


def test_preparing_changes_no_number():
  random = np.random.default_rng(0)
  x = jnp.asarray(random.normal(size=(1, 4, 8, 8, 5)), jnp.float32)
  plain = base.Conv(2, 6, (3, 3))
  variables = plain.init(jax.random.key(0), x)
  prepared = base.Conv(2, 6, (3, 3), prepare=jax.nn.relu)

  def loss(module, variables, x):
    return jnp.sum(jnp.sin(module.apply(variables, x)))

  expected = jax.grad(
    lambda variables, x: loss(plain, variables, jax.nn.relu(x)), (0, 1)
  )(variables, x)
  found = jax.grad(lambda v, x: loss(prepared, v, x), (0, 1))(variables, x)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected
  )
