"""SPEC 2.5: the supernet and the derived net of NAS-Bench-201."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas import genotype as genotypes
from jnas.nets import (
  count,
  graph,
  inherit,
  nasbench201,
  nasbench201_derived,
  nasbench201_layers,
  nasbench201_plan,
  nasbench201_supernet,
)
from jnas.selection import magnitude
from jnas.spaces import SPACES
from jnas.spaces import nasbench201 as bench_space

SPACE = SPACES["nasbench201"]
PLAN = nasbench201_plan.plan(features=2, cells_per_stage=1, num_classes=3)
NET = nasbench201_supernet.build(SPACE, PLAN)
SIZE = 8


@functools.cache
def variables():
  """Weights, scales, shifts and statistics, none of them at its start."""
  shapes = jax.eval_shape(
    functools.partial(NET.init, train=True),
    jax.random.key(0),
    jnp.zeros((1, SIZE, SIZE, 3)),
    {"normal": jnp.zeros((6, 5))},
  )
  generator = np.random.default_rng(0)

  def draw(leaf):
    sign = generator.choice([-1, 1], leaf.shape)
    return jnp.asarray(sign * generator.uniform(0.2, 0.9, leaf.shape))

  return {
    "params": jax.tree.map(draw, shapes["params"]),
    # A variance is above 0.
    "batch_stats": jax.tree.map(
      lambda leaf: abs(draw(leaf)), shapes["batch_stats"]
    ),
  }


@functools.cache
def compiled(*, train):
  return jax.jit(
    lambda variables, images, weights: NET.apply(
      variables,
      images,
      {"normal": weights},
      train=train,
      mutable=["batch_stats"] if train else False,
    )
  )


def images_of(seed, batch=3):
  generator = np.random.default_rng(seed)
  return jnp.asarray(generator.normal(size=(batch, SIZE, SIZE, 3)), jnp.float32)


# --- the network written out by hand, edge by edge, in float64


def conv(x, kernel, stride=1):
  """Convolution with padding k // 2, tap by tap."""
  side = kernel.shape[0]
  pad = side // 2
  x = np.pad(x, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
  height, width = x.shape[1] - side + 1, x.shape[2] - side + 1
  return sum(
    x[:, i : i + height : stride, j : j + width : stride] @ kernel[i, j]
    for i in range(side)
    for j in range(side)
  )


def norm(x, params):
  mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
  return (x - mean) / np.sqrt(var + 1e-5) * params["scale"] + params["bias"]


def avg_pool(x):
  """3x3 means over the pixels that there are."""
  y = np.zeros_like(x)
  height, width = x.shape[1:3]
  for i in range(height):
    for j in range(width):
      rows, columns = slice(max(i - 1, 0), i + 2), slice(max(j - 1, 0), j + 2)
      y[:, i, j] = x[:, rows, columns].mean((1, 2))
  return y


def first(tree, index=0):
  """One target's slice of stacked parameters."""
  return jax.tree.map(lambda leaf: np.asarray(leaf[index], float), tree)


def run_op(name, x, node, stacked):
  if name == "none":
    return np.zeros_like(x)
  if name == "skip_connect":
    return x
  if name == "avg_pool_3x3":
    return avg_pool(x)
  params = first(node[name], stacked)
  return norm(conv(np.maximum(x, 0), params["conv"]["kernel"]), params["norm"])


def run_cell(x, params, weights_ek):
  nodes = [x, 0, 0, 0]
  for row, (source, target) in zip(weights_ek, SPACE.edges, strict=True):
    for weight, name in zip(row, SPACE.ops["normal"][0], strict=True):
      # Of a source's kernels the first is for the nearest target.
      y = run_op(
        name, nodes[source], params[f"node_{source}"], target - source - 1
      )
      nodes[target] = nodes[target] + weight * y
  return nodes[3]


def run_block(x, params):
  y = norm(
    conv(np.maximum(x, 0), first(params["conv_1"])["kernel"], 2),
    first(params["norm_1"]),
  )
  y = norm(
    conv(np.maximum(y, 0), first(params["conv_2"])["kernel"]),
    first(params["norm_2"]),
  )
  batch, height, width, channels = x.shape
  pooled = x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(
    (2, 4)
  )
  return y + pooled @ first(params["shortcut"])["kernel"]


def run_by_hand(params, images, weights_ek):
  x = norm(
    conv(np.asarray(images, float), first(params["stem"]["conv"])["kernel"]),
    first(params["stem"]["norm"]),
  )
  for stage in range(3):
    if stage:
      x = run_block(x, params[f"block_{stage}"])
    x = run_cell(x, params[f"cell_{stage}"], weights_ek)
  x = np.maximum(norm(x, first(params["head"]["norm"])), 0).mean((1, 2))
  linear = params["head"]["classifier"]
  return x @ np.asarray(linear["kernel"], float) + np.asarray(linear["bias"])


def test_logits_equal_those_of_the_network_written_out():
  weights = np.random.default_rng(1).dirichlet(np.ones(5), 6)
  logits, _ = compiled(train=True)(
    variables(), images_of(1), jnp.asarray(weights, jnp.float32)
  )
  expected = run_by_hand(variables()["params"], images_of(1), weights)
  np.testing.assert_allclose(logits, expected, rtol=2e-4, atol=2e-4)
  assert np.ptp(expected) > 0.1


def test_the_batch_norms_of_the_supernet_have_scales_and_shifts():
  leaves = jax.tree_util.tree_leaves_with_path(variables()["params"])
  scales = [path for path, _ in leaves if path[-1].key == "scale"]
  shifts = [path for path, _ in leaves if path[-1].key == "bias"]
  # Stem, head, two blocks of 2; in 3 cells 2 convolutions on each of 3 nodes.
  assert len(scales) == 1 + 1 + 4 + 18
  assert len(shifts) == len(scales) + 1  # the classifier's


@pytest.mark.parametrize("train", [True, False])
def test_one_hot_supernet_equals_derived_net_with_inherited_weights(train):
  texts = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
    # Node 1 is zero, and a convolution reads it.
    "|none~0|+|nor_conv_1x1~0|nor_conv_3x3~1|"
    "+|avg_pool_3x3~0|none~1|skip_connect~2|",
  )
  for seed, text in enumerate(texts):
    genotype = genotypes.from_nasbench201(text)
    weights = magnitude.chosen_weights(genotype, SPACE)["normal"]
    child = nasbench201_derived.build(genotype, PLAN)
    inherited = inherit.inherit(variables(), NET, child)
    images = images_of(seed)
    expected = compiled(train=train)(variables(), images, jnp.asarray(weights))
    found = jax.jit(
      functools.partial(
        child.apply, train=train, mutable=["batch_stats"] if train else False
      )
    )(inherited, images)
    if train:
      (expected, _), (found, _) = expected, found
    assert found.auxiliary is None
    assert np.ptp(expected, axis=0).max() > 0.05
    np.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-5)


def test_an_architecture_for_each_example_gives_what_each_would_alone():
  """By running statistics, since batch norms couple the examples."""
  images = images_of(3)
  weights_bek = jnp.asarray(
    np.random.default_rng(4).dirichlet(np.ones(5), (3, 6)), jnp.float32
  )
  together = compiled(train=False)(variables(), images, weights_bek)
  for b in range(3):
    alone = compiled(train=False)(variables(), images, weights_bek[b])
    np.testing.assert_allclose(together[b], alone[b], rtol=1e-4, atol=1e-5)
  assert np.abs(together - alone).max() > 1e-2


def test_the_same_architecture_for_every_example_is_one_architecture():
  images = images_of(5)
  weights = jnp.asarray(
    np.random.default_rng(6).dirichlet(np.ones(5), 6), jnp.float32
  )
  one, stats = compiled(train=True)(variables(), images, weights)
  each, each_stats = compiled(train=True)(
    variables(), images, jnp.tile(weights[None], (3, 1, 1))
  )
  np.testing.assert_allclose(one, each, rtol=1e-4, atol=1e-5)
  jax.tree.map(
    lambda left, right: np.testing.assert_allclose(left, right, rtol=1e-4),
    stats,
    each_stats,
  )


@pytest.mark.parametrize(
  ("features", "cells_per_stage", "num_classes", "channels"),
  [(16, 5, 10, 3), (4, 1, 7, 1), (3, 2, 120, 3)],
)
def test_supernets_have_the_counted_parameters(
  features, cells_per_stage, num_classes, channels
):
  plan = nasbench201_plan.plan(
    features=features,
    cells_per_stage=cells_per_stage,
    num_classes=num_classes,
  )
  shapes = jax.eval_shape(
    functools.partial(nasbench201_supernet.build(SPACE, plan).init, train=True),
    jax.random.key(0),
    jnp.zeros((1, 16, 16, channels)),
    {"normal": jnp.zeros((6, 5))},
  )
  counted = nasbench201.count_supernet(
    SPACE, plan, size=16, image_channels=channels
  )
  assert count.count_params(shapes["params"]) == counted.params
  bare = nasbench201.count_network(
    genotypes.from_nasbench201_index(0),
    size=16,
    num_classes=num_classes,
    features=features,
    cells_per_stage=cells_per_stage,
    image_channels=channels,
  )
  # On each of 6 edges a 1x1 and a 3x3 convolution with their batch norms.
  widths = [features, 2 * features, 4 * features]
  assert counted.params - bare.params == cells_per_stage * 6 * sum(
    10 * width * width + 4 * width for width in widths
  )


def test_derived_nets_have_the_parameters_of_the_authors_networks(shared):
  path = shared / "oracles" / "reference_genotypes.json"
  reference = json.loads(path.read_text())["nasbench201"]
  compared = 0
  for text, entry in reference.items():
    for kind, expected in entry.items():
      if not kind.startswith("classes_"):
        continue
      plan = nasbench201_plan.plan(
        features=16,
        cells_per_stage=5,
        num_classes=int(kind.removeprefix("classes_")),
      )
      net = nasbench201_derived.build(genotypes.from_nasbench201(text), plan)
      shapes = jax.eval_shape(
        functools.partial(net.init, train=True),
        jax.random.key(0),
        jnp.zeros((1, expected["input"], expected["input"], 3)),
      )
      assert count.count_params(shapes["params"]) == expected["params"]
      compared += 1
  assert compared >= 12


def test_drop_path_drops_or_doubles_a_convolution_and_keeps_skips():
  # The output is x + conv(x); a skip is never dropped, a convolution often.
  genotype = genotypes.from_nasbench201(
    "|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|skip_connect~1|none~2|"
  )
  cell = nasbench201_layers.BenchCell(
    graph.derived_graph(genotype.normal), 2, nasbench201_plan.SETTINGS
  )
  x = images_of(7, batch=16)[..., :2]
  start = cell.init(jax.random.key(0), x, train=False)

  def run(rate):
    rngs = {"drop_path": jax.random.key(1)}
    return cell.apply(start, x, train=False, drop_path=rate, rngs=rngs) - x

  conv = cell.apply(start, x, train=False) - x
  np.testing.assert_allclose(run(jnp.zeros(())), conv, atol=1e-6)
  halved = run(jnp.asarray(0.5))
  dropped = [bool(np.all(np.abs(example) < 1e-6)) for example in halved]
  assert 0 < sum(dropped) < 16
  for example, whole, is_dropped in zip(halved, conv, dropped, strict=True):
    expected = np.zeros_like(whole) if is_dropped else 2 * whole
    np.testing.assert_allclose(example, expected, rtol=1e-4, atol=1e-5)


def test_what_the_networks_cannot_take_is_one_clear_line():
  with pytest.raises(ValueError, match="'darts' has the cells normal, reduce"):
    nasbench201_supernet.build(SPACES["darts"], PLAN)
  with pytest.raises(ValueError, match="one cell type, with one input"):
    nasbench201_derived.build(genotypes.parse("DARTS_V2"), PLAN)
  for name in ("features", "cells_per_stage", "num_classes"):
    sizes = {"features": 2, "cells_per_stage": 1, "num_classes": 3, name: 0}
    with pytest.raises(ValueError, match=f"{name} is 0; it must be at least 1"):
      nasbench201_plan.plan(**sizes)
  with pytest.raises(ValueError, match="8x6: .* must be multiples of 4"):
    jax.eval_shape(
      functools.partial(NET.init, train=True),
      jax.random.key(0),
      jnp.zeros((1, 8, 6, 3)),
      {"normal": jnp.zeros((6, 5))},
    )


def test_a_derivation_and_its_one_hot_weights_are_the_same_cell():
  for seed in range(5):
    genotype = bench_space.sample(jax.random.key(seed), SPACE)
    weights = magnitude.chosen_weights(genotype, SPACE)
    assert bench_space.derive(weights, SPACE) == genotype
