"""SPEC 4.1, A6: a one-hot supernet equals the derived net it contains."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas import genotype as genotypes
from jnas.nets import derived, inherit
from jnas.nets.options import Options
from jnas.ops import Settings
from jnas.selection import magnitude, random
from tests.nets import oracle, small


@functools.cache
def variables():
  weights = {name: jnp.zeros((14, 8)) for name in oracle.SPACE.cell_types}
  shapes = jax.eval_shape(
    lambda key: oracle.NET.init(
      key, jnp.zeros((1, 16, 16, 3)), weights, train=True
    ),
    jax.random.key(0),
  )
  generator = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: jnp.asarray(
      generator.uniform(0.2, 0.9, leaf.shape), leaf.dtype
    ),
    shapes,
  )


@functools.cache
def supernet_apply():
  return jax.jit(functools.partial(oracle.NET.apply, train=False))


@pytest.mark.parametrize("seed", range(20))
def test_one_hot_supernet_equals_derived_net_with_inherited_weights(seed):
  genotype = random.sample(jax.random.key(seed), oracle.SPACE)
  images = jax.random.normal(jax.random.key(100 + seed), (2, 16, 16, 3))
  weights = magnitude.chosen_weights(genotype, oracle.SPACE)
  child = derived.build(
    genotype,
    oracle.PLAN,
    auxiliary=False,
    settings=Settings(affine=False, pool_norm=True),
  )
  inherited = inherit.inherit(variables(), oracle.NET, child)
  expected = supernet_apply()(variables(), images, weights)
  logits = jax.jit(functools.partial(child.apply, train=False))(
    inherited, images
  ).logits
  np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_a_shared_operation_is_inherited_by_every_edge():
  parent = small.build(Options(share_features=True))
  images = jnp.asarray(
    np.random.default_rng(0).normal(size=(2, 8, 8, 3)), jnp.float32
  )
  # Node 0 lends its separable convolution to both nodes.
  cell = genotypes.Cell(
    (
      (("sep_conv_3x3", 0), ("skip_connect", 1)),
      (("sep_conv_3x3", 0), ("max_pool_3x3", 2)),
    ),
    small.SPACE.concat,
    small.SPACE.num_inputs,
  )
  genotype = genotypes.Genotype(cell, cell)
  weights = magnitude.chosen_weights(genotype, small.SPACE)
  parents = small.fill(parent, images, weights)
  child = derived.build(
    genotype,
    small.PLAN,
    auxiliary=False,
    settings=Settings(affine=False, pool_norm=True),
  )
  children = inherit.inherit(parents, parent, child)
  wanted = jax.eval_shape(
    lambda key: child.init(key, images, train=True), jax.random.key(0)
  )
  shapes = jax.tree.map(lambda leaf: leaf.shape, (children, dict(wanted)))
  assert shapes[0] == shapes[1]
  expected = jax.jit(functools.partial(parent.apply, train=False))(
    parents, images, weights
  )
  logits = jax.jit(functools.partial(child.apply, train=False))(
    children, images
  ).logits
  np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
  "options", [Options(bottleneck=4), Options(partial_channels=4)]
)
def test_operations_of_fewer_channels_cannot_be_inherited(options):
  child = derived.build(
    random.sample(jax.random.key(0), oracle.SPACE),
    small.PLAN,
    auxiliary=False,
  )
  with pytest.raises(ValueError, match="cannot be inherited"):
    inherit.inherit({}, small.build(options), child)
