"""SPEC 2.7: the MBConv space, its counts, its supernet and its child."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.nets import count, mbconv, mbconv_count, mbconv_plan

PUBLISHED = mbconv_plan.Plan()
# Halves, keeps its shape, changes its channels.
TINY = mbconv_plan.Plan(
  stem=4, first=4, stages=((6, 2, 2), (8, 1, 1)), head=16, num_classes=3
)
SKIP, *BLOCKS = mbconv_plan.OPS["normal"]


def our_name(theirs):
  return SKIP if theirs == "mic_zero" else theirs.replace("mic", "mbconv")


def uniform_weights(plan):
  return {
    cell_type: jnp.full((plan.num_rows(cell_type), len(ops)), 1 / len(ops))
    for cell_type, ops in mbconv_plan.OPS.items()
  }


def one_hot_weights(plan, ops):
  weights = {
    name: np.zeros(w.shape) for name, w in uniform_weights(plan).items()
  }
  for op, layer, row in zip(ops, plan.layers, plan.rows, strict=True):
    column = mbconv_plan.OPS[layer.cell_type].index(op)
    weights[layer.cell_type][row, column] = 1
  return {name: jnp.asarray(w, jnp.float32) for name, w in weights.items()}


def random_variables(net, *args):
  """Variables of a network without the compilation of its initialisers."""
  shapes = jax.eval_shape(
    lambda: net.init(jax.random.key(0), *args, train=False)
  )
  random = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: jnp.asarray(random.normal(size=leaf.shape), leaf.dtype),
    shapes["params"],
  )
  ones = jax.tree.map(
    lambda leaf: jnp.ones(leaf.shape, leaf.dtype), shapes["batch_stats"]
  )
  return {"params": params, "batch_stats": ones}


@pytest.fixture(scope="module")
def reference(shared):
  path = shared / "oracles" / "reference_genotypes.json"
  return json.loads(path.read_text())["genotypes"]


def test_layers_are_the_published_ones():
  layers = PUBLISHED.layers
  assert [
    index
    for index, layer in enumerate(layers, 1)
    if layer.cell_type == "reduce"
  ] == [1, 5, 9, 13, 17, 21]
  assert PUBLISHED.num_rows("normal") == 15
  assert PUBLISHED.num_rows("reduce") == 6
  assert layers[0] == mbconv_plan.Layer(24, 32, 2)
  assert layers[12] == mbconv_plan.Layer(112, 128, 1)
  assert layers[20] == mbconv_plan.Layer(256, 432, 1)
  assert [len(ops) for ops in mbconv_plan.OPS.values()] == [7, 6]


@pytest.mark.parametrize(
  ("name", "params", "madds"),
  [
    ("MB_PROXYLESS_GPU", 7_119_848, 465_260_160),
    ("MB_UNAS", 5_965_528, 428_018_592),
  ],
)
def test_counts_and_parameters_of_published_networks(
  reference, name, params, madds
):
  entry = reference[name]
  ops = tuple(our_name(op) for op in entry["layers_1_to_21"])
  counted = mbconv_count.count_derived(ops, PUBLISHED, size=224)
  assert (counted.params, counted.madds) == (params, madds)
  assert entry["counts"]["imagenet"]["params"] == params
  assert entry["counts"]["imagenet"]["madds"] == madds
  net = mbconv.DerivedNet(PUBLISHED, ops)
  images = jnp.zeros((1, 32, 32, 3))
  variables = jax.eval_shape(
    lambda: net.init(jax.random.key(0), images, train=False)
  )
  assert count.count_params(variables["params"]) == params
  # The rows of the two architecture arrays are in the order of the chain.
  weights = one_hot_weights(PUBLISHED, ops)
  assert mbconv_plan.strongest_ops(weights, PUBLISHED) == ops
  for cell_type, names in entry["genotype"].items():
    rows = [
      op
      for op, layer in zip(ops, PUBLISHED.layers, strict=True)
      if layer.cell_type == cell_type
    ]
    assert rows == [our_name(op) for op in names]


def test_counts_and_parameters_of_the_supernet():
  counted = mbconv_count.count_supernet(PUBLISHED, size=224)
  assert counted.params == 27_684_320
  net = mbconv.Supernet(PUBLISHED)
  images = jnp.zeros((1, 32, 32, 3))
  variables = jax.eval_shape(
    lambda: net.init(
      jax.random.key(0), images, uniform_weights(PUBLISHED), train=False
    )
  )
  assert count.count_params(variables["params"]) == 27_684_320


def reference_block(params, x, *, stride, residual):
  """A block in training, written out with XLA's own convolution."""

  def conv(x, kernel, stride=1, groups=1):
    pad = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
      x,
      kernel,
      (stride, stride),
      [(pad, pad)] * 2,
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      feature_group_count=groups,
    )

  def norm(x, part):
    mean = jnp.mean(x, (0, 1, 2), keepdims=True)
    var = jnp.var(x, (0, 1, 2), keepdims=True)
    y = (x - mean) / jnp.sqrt(var + 1e-3)
    scale, bias = part["scale"][0], part["bias"][0]
    return y * scale[None, None, None] + bias[None, None, None]

  y = conv(x, params["expand"]["kernel"][0][None, None])
  y = jnp.clip(norm(y, params["expand_norm"]), 0, 6)
  depthwise = params["depthwise"]["kernel"][0][:, :, None]
  y = conv(y, depthwise, stride, groups=y.shape[-1])
  y = jnp.clip(norm(y, params["depthwise_norm"]), 0, 6)
  y = conv(y, params["project"]["kernel"][0][None, None])
  y = norm(y, params["project_norm"])
  return x + y if residual else y


@pytest.mark.parametrize(
  ("kernel", "stride", "features"), [(3, 2, 4), (5, 1, 4), (7, 1, 6)]
)
def test_block_is_expand_depthwise_project(kernel, stride, features):
  block = mbconv.MBConv(features, kernel, expansion=3, stride=stride)
  # Small enough for the epsilon of the batch norms to matter.
  x = 0.05 * jax.random.normal(jax.random.key(0), (3, 8, 8, 4))
  variables = random_variables(block, x[None])

  @jax.jit
  def run(variables, x):
    found, _ = block.apply(
      variables, x[None], train=True, mutable="batch_stats"
    )
    residual = stride == 1 and features == 4
    return found[0], reference_block(
      variables["params"], x, stride=stride, residual=residual
    )

  found, expected = run(variables, x)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kept", [BLOCKS[5], SKIP])
def test_one_hot_supernet_is_the_network_that_inherits_from_it(kept):
  net = mbconv.Supernet(TINY)
  images = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))
  variables = random_variables(net, images, uniform_weights(TINY))
  ops = (BLOCKS[3], kept, BLOCKS[4])
  child = mbconv.DerivedNet(TINY, ops)

  indexed = mbconv.IndexedNet(TINY)
  index_l = jnp.asarray(
    [
      mbconv_plan.OPS[layer.cell_type].index(op)
      for layer, op in zip(TINY.layers, ops, strict=True)
    ]
  )

  @jax.jit
  def run(variables, weights, index_l):
    inherited = mbconv.inherit(variables, ops)
    return (
      child.apply(inherited, images, train=False),
      net.apply(variables, images, weights, train=False),
      indexed.apply(variables, images, index_l, train=False),
    )

  expected, mixed, taken = run(variables, one_hot_weights(TINY, ops), index_l)
  assert np.ptp(np.asarray(expected)) > 1
  np.testing.assert_allclose(mixed, expected, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(taken, expected, rtol=1e-5, atol=1e-5)


def test_indexed_network_has_the_supernets_variables():
  images = jnp.zeros((1, 8, 8, 3))

  def shapes_of(net, choice):
    return jax.eval_shape(
      lambda: net.init(jax.random.key(0), images, choice, train=False)
    )

  supernet = shapes_of(mbconv.Supernet(TINY), uniform_weights(TINY))
  indexed = shapes_of(mbconv.IndexedNet(TINY), jnp.zeros(3, int))
  assert jax.tree.map(jnp.shape, supernet) == jax.tree.map(jnp.shape, indexed)


def test_only_the_candidate_that_ran_moves_its_statistics_and_has_a_gradient():
  layer = mbconv.IndexedLayer(mbconv_plan.Layer(4, 4, 1))
  x = jax.random.normal(jax.random.key(0), (1, 3, 4, 4, 4))
  variables = random_variables(layer, x, jnp.zeros((), int))

  @jax.jit
  def run(params, index):
    def total(params):
      y, moved = layer.apply(
        {**variables, "params": params},
        x,
        index,
        train=True,
        rngs={"drop_skip": jax.random.key(1)},
        drop_skip=jnp.asarray(0.1),
        mutable="batch_stats",
      )
      return jnp.sum(y**2), moved["batch_stats"]

    return jax.grad(total, has_aux=True)(params)

  gradient, moved = run(variables["params"], jnp.asarray(2))
  for name in BLOCKS:
    ran = name == mbconv_plan.OPS["normal"][2]
    slopes = jax.tree.leaves(gradient[name])
    assert any(np.any(leaf != 0) for leaf in slopes) == ran, name
    # The statistics were ones before.
    stats = jax.tree.leaves(moved[name])
    assert any(np.any(leaf != 1) for leaf in stats) == ran, name


def test_each_example_may_have_its_own_weights():
  mixed = mbconv.SuperLayer(mbconv_plan.Layer(4, 4, 1))
  x = jax.random.normal(jax.random.key(0), (1, 3, 4, 4, 4))
  weights = jax.nn.softmax(jax.random.normal(jax.random.key(1), (3, 7)))
  variables = random_variables(mixed, x, weights)

  @jax.jit
  def run(weights):
    return mixed.apply(variables, x, weights, train=False)

  each = run(weights)
  for example in range(3):
    alone = run(weights[example])
    np.testing.assert_allclose(each[0, example], alone[0, example], rtol=1e-5)
  assert not np.allclose(each[0, 1], alone[0, 1])


def test_only_the_skip_branch_passes_through_dropout_and_in_training_alone():
  mixed = mbconv.SuperLayer(mbconv_plan.Layer(4, 4, 1))
  x = jnp.ones((1, 50, 10, 10, 4))
  skip = jax.nn.one_hot(0, 7)
  variables = random_variables(mixed, x, skip)

  @jax.jit
  def run(weights, key):
    return mixed.apply(
      variables,
      x,
      weights,
      train=True,
      rngs={"drop_skip": key},
      drop_skip=jnp.asarray(0.1),
      mutable="batch_stats",
    )[0]

  still = mixed.apply(
    variables, x, skip, train=False, drop_skip=jnp.asarray(0.1)
  )
  np.testing.assert_array_equal(still, x)
  y = np.asarray(run(skip, jax.random.key(1)))
  np.testing.assert_allclose(np.unique(y), [0, 1 / 0.9], rtol=1e-6)
  error = abs(np.mean(y == 0) - 0.1)
  assert error < 4 * (0.1 * 0.9 / y.size) ** 0.5
  block = jax.nn.one_hot(3, 7)
  np.testing.assert_array_equal(
    run(block, jax.random.key(1)), run(block, jax.random.key(2))
  )


def test_what_does_not_fit_is_refused():
  with pytest.raises(ValueError, match="2 operations for 3 layers"):
    mbconv_count.count_derived((BLOCKS[0],) * 2, TINY, size=16)
  ops = (SKIP, *BLOCKS[:2])
  with pytest.raises(ValueError, match="layer 1 is 'skip_connect'"):
    mbconv_count.count_derived(ops, TINY, size=16)
  with pytest.raises(ValueError, match="18x18.*multiples of 4"):
    mbconv_count.count_supernet(TINY, size=18)
