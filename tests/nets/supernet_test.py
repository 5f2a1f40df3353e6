"""SPEC 4.1, A4, A5, A9, A11: the supernet against the authors' network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import objectives
from jnas.nets import count, macro, supernet
from jnas.spaces import SPACES
from tests.nets import oracle


@pytest.fixture(scope="module")
def tiny(shared):
  return np.load(shared / "oracles" / "darts_supernet_tiny.npz")


def build(tiny, dtype):
  params = oracle.params_from(tiny, dtype)
  weights = {
    "normal": jax.nn.softmax(jnp.asarray(tiny["alphas_normal"], dtype)),
    "reduce": jax.nn.softmax(jnp.asarray(tiny["alphas_reduce"], dtype)),
  }
  return params, weights, jnp.asarray(tiny["x"], dtype), jnp.asarray(tiny["y"])


def eager_logits(params, weights, images):
  stats = jax.tree.map(
    lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), _stats_shapes()
  )
  return oracle.NET.apply(
    {"params": params, "batch_stats": stats}, images, weights, train=True
  )


logits_of = jax.jit(eager_logits)


@functools.cache
def _stats_shapes():
  weights = {name: jnp.zeros((14, 8)) for name in oracle.SPACE.cell_types}
  return jax.eval_shape(
    lambda key: oracle.NET.init(
      key, jnp.zeros((1, 16, 16, 3)), weights, train=True
    ),
    jax.random.key(0),
  )["batch_stats"]


@jax.jit
def fitted_stats(params, weights, images):
  """Statistics of this batch, so that logits have the size they have."""
  zeros = jax.tree.map(
    lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), _stats_shapes()
  )
  _, moved = oracle.NET.apply(
    {"params": params, "batch_stats": zeros},
    images,
    weights,
    train=True,
    mutable=["batch_stats"],
  )
  # From zero they move by a tenth of the batch's.
  return jax.tree.map(lambda leaf: 10 * leaf, moved["batch_stats"])


def mean_loss(logits, labels):
  losses = objectives.cross_entropy(logits, labels, label_smoothing=0.0)
  return jnp.mean(losses)


def loss_of(params, weights, images, labels):
  return mean_loss(logits_of(params, weights, images), labels)


# float64 has no native kernels and compiles for many minutes in pure XLA, so
# it is run operation by operation.
@pytest.mark.parametrize(
  ("dtype", "tolerance", "apply"),
  [("float64", 1e-7, eager_logits), ("float32", 2e-4, logits_of)],
)
def test_logits_loss_and_gradients_equal_the_authors_network(
  tiny, dtype, tolerance, apply
):
  with jax.enable_x64(dtype == "float64"):
    params, _, images, labels = build(tiny, dtype)
    alphas = {
      name: jnp.asarray(tiny[f"alphas_{name}"], dtype)
      for name in ("normal", "reduce")
    }

    def objective(params, alphas):
      weights = jax.tree.map(jax.nn.softmax, alphas)
      logits = apply(params, weights, images)
      return mean_loss(logits, labels), logits

    (loss, logits), (params_grad, alphas_grad) = jax.value_and_grad(
      objective, argnums=(0, 1), has_aux=True
    )(params, alphas)
    close = functools.partial(
      np.testing.assert_allclose, atol=tolerance, rtol=tolerance
    )
    close(logits, tiny["logits"])
    close(loss, tiny["loss"])
    close(alphas_grad["normal"], tiny["grad_alphas_normal"])
    close(alphas_grad["reduce"], tiny["grad_alphas_reduce"])
    close(params_grad["stem"]["conv"]["kernel"][0], tiny["grad_stem"])
    close(params_grad["classifier"]["kernel"], tiny["grad_classifier_w"])
    del params_grad["stem"]["norm"]  # the oracle's stem has none to train
    norm = jnp.sqrt(
      sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params_grad))
    )
    close(norm, tiny["grad_norm_weights"])


def test_masked_operations_and_edges_give_the_authors_losses(tiny):
  params, weights, images, labels = build(tiny, "float32")
  loss = jax.jit(loss_of)
  for op, expected in enumerate(tiny["masked_loss_normal_edge3"]):
    masked = {**weights, "normal": weights["normal"].at[3, op].set(0.0)}
    assert abs(loss(params, masked, images, labels) - expected) < 2e-4
  # Operation 0 is none: to mask it changes nothing.
  assert abs(tiny["masked_loss_normal_edge3"][0] - tiny["loss"]) < 1e-12
  for edge, expected in enumerate(tiny["masked_loss_normal_edge_removed"]):
    masked = {**weights, "normal": weights["normal"].at[edge].set(0.0)}
    assert abs(loss(params, masked, images, labels) - expected) < 2e-4


def test_masked_operation_passes_no_gradient_to_its_kernels(tiny):
  params, weights, images, labels = build(tiny, "float32")
  sep = oracle.SPACE.ops["normal"][3].index("sep_conv_3x3")
  masked = {**weights, "normal": weights["normal"].at[3, sep].set(0.0)}
  grad = jax.jit(jax.grad(loss_of))(params, masked, images, labels)
  # Edge 3 is 1 -> 3: the second of the edges that leave node 1.
  for leaf in jax.tree.leaves(grad["cell_0"]["node_1"]["sep_conv_3x3"]):
    assert jnp.all(leaf[1] == 0)
    assert jnp.any(leaf[0] != 0)


def test_weights_for_each_example_equal_one_example_at_a_time(tiny):
  params, weights, images, _ = build(tiny, "float32")
  variables = {
    "params": params,
    "batch_stats": fitted_stats(params, weights, images),
  }
  apply = jax.jit(functools.partial(oracle.NET.apply, train=False))
  order = jnp.array([0.2, 1.0, 3.0])
  each = {
    name: jax.nn.softmax(order[:, None, None] * jnp.log(leaf)[None])
    for name, leaf in weights.items()
  }
  together = apply(variables, images, each)
  for index in range(3):
    alone = apply(
      variables,
      images[index : index + 1],
      {name: leaf[index] for name, leaf in each.items()},
    )
    np.testing.assert_allclose(together[index], alone[0], atol=1e-5)


@pytest.mark.parametrize(
  ("space", "features", "cells", "classes", "expected"),
  [
    ("darts", 16, 8, 10, 1_930_618),
    ("darts", 16, 8, 100, 1_953_748),
    ("darts_no_none", 16, 8, 10, 1_930_618),
    ("darts", 4, 3, 10, 72_854),
    ("darts", 8, 5, 10, 394_210),
    ("s2", 16, 8, 10, 665_466),
    ("s3", 16, 8, 10, 665_466),
    ("unas_cifar", 16, 8, 10, 2_479_866),
  ],
)
def test_supernet_has_the_published_number_of_parameters(
  space, features, cells, classes, expected
):
  plan = macro.plan(
    num_cells=cells, features=features, num_classes=classes, stem="cifar"
  )
  net = supernet.build(SPACES[space], plan)
  weights = {
    name: jnp.zeros((14, SPACES[space].num_ops)) for name in plan_types(plan)
  }
  shapes = jax.eval_shape(
    lambda key: net.init(key, jnp.zeros((1, 32, 32, 3)), weights, train=True),
    jax.random.key(0),
  )
  assert count.count_params(shapes["params"]) == expected


def plan_types(plan):
  return {cell.cell_type for cell in plan.cells}
