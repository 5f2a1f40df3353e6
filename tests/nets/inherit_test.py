"""SPEC 4.1, A6: a one-hot supernet equals the derived net it contains."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.nets import derived, inherit
from jnas.ops import Settings
from jnas.selection import magnitude, random
from tests.nets import oracle


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
