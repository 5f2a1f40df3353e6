"""What every entry of `OPS` owes, whatever it computes."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.nets import count
from jnas.ops import OPS, Cost, Settings, Shape, base, pool, skip

FEATURES, HEIGHT, WIDTH, BATCH = 4, 8, 4, 2
SUPERNET = Settings(affine=False, pool_norm=True)
each_op = pytest.mark.parametrize("name", OPS)
each_stride = pytest.mark.parametrize("stride", [1, 2])


def build(name, *, stride=1, targets=1, settings=SUPERNET):
  return OPS[name].build(
    features=FEATURES, stride=stride, targets=targets, settings=settings
  )


def keys(seed=0):
  return {"params": jax.random.key(seed), "noise": jax.random.key(seed + 1)}


def images(sources=1, dtype=jnp.float32):
  shape = (sources, BATCH, HEIGHT, WIDTH, FEATURES)
  return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def shapes_of(module, x, *, train=True):
  """Shapes of the output and of the variables, without computing."""
  return jax.eval_shape(
    lambda x: module.init_with_output(keys(), x, train=train), x
  )


def fill(shapes):
  """Parameters with values of their own in every slice."""
  random = np.random.default_rng(1)
  return jax.tree.map(
    lambda leaf: jnp.asarray(random.normal(size=leaf.shape), leaf.dtype),
    shapes.get("params", {}),
  )


def apply(module, params, x, *, train=True):
  return module.apply(
    {"params": params},
    x,
    train=train,
    rngs={"noise": jax.random.key(2)},
    mutable=["batch_stats"],
  )


@each_op
@each_stride
@pytest.mark.parametrize("affine", [False, True])
def test_output_has_the_shape_of_its_edges_and_the_strided_image(
  name, stride, affine
):
  settings = Settings(affine=affine, pool_norm=True)
  module = build(name, stride=stride, targets=3, settings=settings)
  y, variables = shapes_of(module, images())
  assert y.shape[0] in (1, 3)
  strided = (BATCH, HEIGHT // stride, WIDTH // stride, FEATURES)
  assert y.shape[1:] == strided
  for leaf in jax.tree.leaves(variables.get("params", {})):
    # One slice for each edge: inheritance takes them by position.
    assert leaf.shape[0] == 3
    assert leaf.dtype == jnp.float32


@each_op
@each_stride
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("pool_norm", [False, True])
def test_cost_is_what_hooks_on_the_module_count(
  name, stride, affine, pool_norm, monkeypatch
):
  settings = Settings(affine=affine, pool_norm=pool_norm)
  module = build(name, stride=stride, settings=settings)
  counted = dict.fromkeys(Cost._fields[1:], 0)

  def hook(call, args, kwargs, context):
    y = call(*args, **kwargs)
    layer = context.module
    if context.method_name != "__call__":
      return y
    taps = {
      base.Depthwise: lambda: layer.kernel**2,
      base.Pointwise: lambda: args[0].shape[-1],
      base.Conv: lambda: math.prod(layer.kernel) * args[0].shape[-1],
    }
    if type(layer) in taps:
      madds = y.size * taps[type(layer)]()
      pixels = y.size // y.shape[-1]
      counted["madds"] += madds
      # Input, output and kernel.
      channels = args[0].shape[-1] + y.shape[-1]
      counted["accesses"] += pixels * channels + madds // pixels
      if type(layer) is base.Depthwise and layer.relu:
        counted["relu_elements"] += args[0].size
    elif type(layer) is base.BatchNorm:
      counted["norm_elements"] += y.size
    elif type(layer) is pool.Pool:
      counted["pool_additions"] += 9 * y.size
      counted["accesses"] += 2 * y.size
    elif type(layer) is skip.Skip and layer.stride == 1:
      counted["accesses"] += 2 * y.size
    return y

  relu = jax.nn.relu

  def counting_relu(x):
    counted["relu_elements"] += x.size
    return relu(x)

  monkeypatch.setattr(jax.nn, "relu", counting_relu)
  with nn.intercept_methods(hook):
    # Layer by layer: in training several run as one.
    _, variables = shapes_of(module, images()[:, :1], train=False)
  cost = OPS[name].cost(Shape(HEIGHT, WIDTH, FEATURES), stride, settings)
  assert cost.params == count.count_params(variables.get("params", {}))
  assert cost._asdict() == {"params": cost.params, **counted}


@each_op
def test_flags_say_what_the_operation_is(name):
  op, module, x = OPS[name], build(name), images()
  _, variables = shapes_of(module, x)
  assert op.parametric == ("params" in variables)
  y, _ = apply(module, fill(variables), x)
  assert op.is_identity == bool(jnp.all(y == x))
  assert op.is_zero == bool(jnp.all(y == 0))


@pytest.mark.parametrize("name", [name for name in OPS if name != "noise"])
@each_stride
@pytest.mark.parametrize("affine", [False, True])
def test_edges_stacked_on_one_source_equal_each_edge_alone(
  name, stride, affine
):
  settings = Settings(affine=affine, pool_norm=True)
  x = images()
  stacked = build(name, stride=stride, targets=3, settings=settings)
  params = fill(shapes_of(stacked, x)[1])
  together, moved = apply(stacked, params, x)
  alone = build(name, stride=stride, targets=1, settings=settings)
  for edge in range(3):
    own = jax.tree.map(lambda leaf, edge=edge: leaf[edge][None], params)
    y, own_moved = apply(alone, own, x)
    np.testing.assert_allclose(
      together[min(edge, together.shape[0] - 1)], y[0], rtol=1e-4, atol=1e-4
    )
    for leaf, own_leaf in zip(
      jax.tree.leaves(moved), jax.tree.leaves(own_moved), strict=True
    ):
      np.testing.assert_allclose(
        leaf[min(edge, leaf.shape[0] - 1)], own_leaf[0], rtol=1e-4, atol=1e-4
      )


@each_op
@each_stride
@pytest.mark.parametrize("train", [True, False])
def test_half_precision_is_kept_and_parameters_and_statistics_stay_single(
  name, stride, train
):
  module = build(name, stride=stride, targets=2)
  _, variables = shapes_of(module, images())
  params = jax.tree.map(jnp.ones_like, fill(variables))
  y, moved = jax.eval_shape(
    lambda x: apply(module, params, x, train=train), images(dtype=jnp.bfloat16)
  )
  assert y.dtype == jnp.bfloat16
  for leaf in jax.tree.leaves((variables, moved)):
    assert leaf.dtype == jnp.float32


@each_op
def test_gradients_are_finite_on_a_blank_image(name):
  # No variance, and every window of a pool is a tie.
  module = build(name, stride=2)
  x = jnp.zeros((1, BATCH, HEIGHT, WIDTH, FEATURES))
  params = fill(shapes_of(module, x)[1])

  def project(params, x):
    y, _ = apply(module, params, x)
    return jnp.sum(y * jnp.cos(jnp.arange(y.size)).reshape(y.shape))

  gradients = jax.grad(project, argnums=(0, 1))(params, x)
  for leaf in jax.tree.leaves(gradients):
    assert jnp.all(jnp.isfinite(leaf))
