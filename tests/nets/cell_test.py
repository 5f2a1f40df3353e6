"""Cells: drop-path, zero nodes, and norms of operations without weight."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas import genotype as genotypes
from jnas.nets import cell, count, derived, graph, macro
from jnas.ops import Op, Settings
from jnas.ops.base import Cost
from jnas.spaces import SPACES

RATE = 0.3


def fill(module, *args):
  """Parameters of a module, drawn from NumPy; jax.random compiles longer."""
  shapes = jax.eval_shape(
    lambda: module.init(jax.random.key(0), *args, train=True)["params"]
  )
  random = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: jnp.asarray(random.normal(size=leaf.shape), leaf.dtype), shapes
  )


def run_source(op, *, stride, rate, batch=256, targets=3, seed=0):
  """Output `[T, B]` of an operation on images that are all ones."""
  module = cell.SourceNode(
    features=2, stride=stride, settings=Settings(affine=True, pool_norm=False)
  )
  group = graph.Group(
    0, op, tuple(graph.Member(target) for target in range(2, 2 + targets))
  )
  x = jnp.ones((batch, 2, 2, 2))
  drop_path = None if rate is None else jnp.float32(rate)

  @jax.jit
  def run(key):
    return module.apply(
      {},
      group,
      x,
      train=True,
      drop_path=drop_path,
      rngs={"drop_path": key},
    )

  y = np.asarray(run(jax.random.key(seed)))
  # All pixels and channels of an example share its fate.
  assert np.all(y == y[:, :, :1, :1, :1])
  return y[:, :, 0, 0, 0]


@pytest.mark.parametrize("stride", [1, 2])
def test_drop_path_drops_each_edge_of_each_example_and_rescales(stride):
  y = run_source("max_pool_3x3", stride=stride, rate=RATE)
  assert y.shape == (3, 256)
  dropped = y == 0
  np.testing.assert_allclose(y[~dropped], 1 / (1 - RATE), rtol=1e-6)
  # Binomial, 4 standard errors; edges are dropped independently.
  error = (RATE * (1 - RATE) / dropped.size) ** 0.5
  assert abs(dropped.mean() - RATE) < 4 * error
  both = np.mean(dropped[0] & dropped[1])
  assert abs(both - RATE**2) < 4 * (RATE**2 * (1 - RATE**2) / 256) ** 0.5


def test_drop_path_leaves_the_identity_alone_and_nothing_at_rate_0():
  np.testing.assert_array_equal(
    run_source("skip_connect", stride=1, rate=RATE), np.ones((1, 256))
  )
  for rate in (0.0, None):
    y = run_source("max_pool_3x3", stride=1, rate=rate)
    np.testing.assert_array_equal(y, np.ones_like(y))


def test_drop_path_of_another_key_drops_others():
  first, again, other = (
    run_source("avg_pool_3x3", stride=1, rate=0.5, batch=64, seed=seed)
    for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(first, again)
  assert np.any(first != other)


def test_drop_path_drops_a_strided_skip():
  module = cell.SourceNode(
    features=2, stride=2, settings=Settings(affine=False, pool_norm=False)
  )
  group = graph.Group(0, "skip_connect", (graph.Member(2), graph.Member(3)))
  x = jnp.cos(jnp.arange(512.0)).reshape(64, 2, 2, 2)
  kernel = {"kernel": jnp.ones((2, 2, 1))}
  params = {"skip_connect": {"reduce": {"conv_1": kernel, "conv_2": kernel}}}

  @jax.jit
  def run(drop_path):
    return module.apply(
      {"params": params},
      group,
      x,
      train=True,
      drop_path=drop_path,
      mutable=["batch_stats"],
      rngs={"drop_path": jax.random.key(0)},
    )[0]

  whole = run(jnp.float32(0))
  y = run(jnp.float32(0.5))
  kept = np.any(np.asarray(y) != 0, axis=(2, 3, 4))
  # Binomial with 128 draws: 4 standard errors of 0.044.
  assert abs(kept.mean() - 0.5) < 0.18
  np.testing.assert_allclose(
    y, 2 * whole * kept[:, :, None, None, None], rtol=1e-6
  )


def test_a_node_that_nothing_reaches_keeps_its_place_as_zeros():
  # D7: the last two nodes of this reduction cell have no connection.
  genotype = genotypes.parse("SNAS_aggressive_edge_all")
  assert genotype.reduce is not None
  assert genotype.reduce.nodes[2:] == ((), ())
  module = cell.Cell(
    graph.derived_graph(genotype.reduce),
    macro.CellPlan("reduce", 4, 2, halve_first=False),
    Settings(affine=True, pool_norm=False),
  )
  x = jnp.cos(jnp.arange(512.0)).reshape(2, 8, 8, 4)
  params = fill(module, x, x)
  y = jax.jit(
    lambda params: module.apply(
      {"params": params}, x, x + 1, train=True, mutable=["batch_stats"]
    )[0]
  )(params)
  assert y.shape == (2, 4, 4, 16)
  assert jnp.all(y[..., 8:] == 0)
  assert jnp.all(jnp.any(y[..., :8] != 0, axis=(0, 1, 2)))


def test_norms_of_operations_without_weight_still_see_the_batch():
  # SPEC 2.1: a masked operation's statistics move as the others' do.
  space = SPACES["s2"]
  cell_graph = graph.supernet_graph(space, "normal")
  module = cell.Cell(
    cell_graph,
    macro.CellPlan("normal", 2, 1, halve_first=False),
    Settings(affine=False, pool_norm=True),
  )
  x = jnp.cos(jnp.arange(128.0)).reshape(2, 4, 4, 4)
  skip_only = jnp.zeros((14, 2)).at[:, 0].set(1.0)

  weights = graph.split_weights(cell_graph, skip_only)
  params = fill(module, x, x, weights)

  @jax.jit
  def run(params):
    return module.apply(
      {"params": params}, x, x, weights, train=True, mutable=["batch_stats"]
    )[1]

  moved = run(params)["batch_stats"]
  norms = [moved[f"node_{node}"]["sep_conv_3x3"] for node in range(5)]
  assert [len(norm["norm_1"]["mean"]) for norm in norms] == [4, 4, 3, 2, 1]
  for leaf in jax.tree.leaves(norms):
    assert jnp.all((leaf != 0) & (leaf != 1))


@pytest.mark.parametrize("name", genotypes.published())
def test_the_network_has_the_parameters_that_are_counted(name):
  genotype = genotypes.parse(name)
  plan = macro.plan(num_cells=3, features=8, num_classes=10, stem="cifar")
  counted = count.count_derived(genotype, plan, size=32, image_channels=3)
  for auxiliary, expected in (
    (False, counted.params),
    (True, counted.params_with_aux),
  ):
    net = derived.build(genotype, plan, auxiliary=auxiliary)
    variables = jax.eval_shape(
      lambda key, net=net: net.init(key, jnp.zeros((1, 32, 32, 3)), train=True),
      jax.random.key(0),
    )
    assert count.count_params(variables["params"]) == expected


def test_the_imagenet_network_has_the_published_number_of_parameters():
  net = derived.build(
    genotypes.parse("DARTS_V2"),
    macro.plan(num_cells=14, features=48, num_classes=1000, stem="imagenet"),
    auxiliary=True,
  )
  variables = jax.eval_shape(
    lambda key: net.init(key, jnp.zeros((1, 224, 224, 3)), train=True),
    jax.random.key(0),
  )
  auxiliary = count.count_params(variables["params"].pop("auxiliary"))
  # SPEC 4.1: 4,718,752 without the auxiliary head, 5,979,528 with it.
  assert count.count_params(variables["params"]) == 4_718_752
  assert auxiliary == 5_979_528 - 4_718_752


class _Kept(nn.Module):
  """What never halves the image."""

  features: int
  stride: int
  targets: int
  settings: Settings

  def __call__(self, x, *, train):
    return x


KEPT = Op(build=_Kept, cost=lambda shape, stride, settings: Cost(0, 0, 0))


def test_an_operation_that_returns_another_shape_is_named():
  op = "tests.nets.cell_test:KEPT"
  assert run_source(op, stride=1, rate=None).shape == (1, 256)
  with pytest.raises(ValueError, match=r"must be \(3, 256, 1, 1, 2\)") as found:
    run_source(op, stride=2, rate=None)
  assert (
    f"operation {op!r} returned an array of shape (1, 256, 2, 2, 2)"
    in str(found.value)
  )
