"""Options that save memory or time without another result; and drops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.nets import cell, drops, graph
from jnas.nets.options import Options
from tests.nets import small


@functools.cache
def problem():
  random = np.random.default_rng(0)
  images = jnp.asarray(random.normal(size=(2, 8, 8, 3)), jnp.float32)
  weights = {
    kind: jax.nn.softmax(jnp.asarray(random.normal(size=small.SHAPE)), axis=-1)
    for kind in small.SPACE.cell_types
  }
  return images, weights, small.fill(small.build(), images, weights)


@functools.cache
def numbers(options):
  """Logits, gradients of parameters and weights, moved statistics."""
  images, weights, variables = problem()
  net = small.build(options)

  @jax.jit
  def run(variables, weights):
    def loss(params, weights):
      logits, moved = net.apply(
        {"params": params, "batch_stats": variables["batch_stats"]},
        images,
        weights,
        train=True,
        mutable=["batch_stats"],
      )
      return jnp.sum(jnp.sin(logits)), (logits, moved["batch_stats"])

    return jax.grad(loss, (0, 1), has_aux=True)(variables["params"], weights)

  grads, (logits, moved) = run(variables, weights)
  return {"logits": logits, "grads": grads, "moved": moved}


@pytest.mark.parametrize("remat", ["op", "cell"])
def test_computing_again_for_the_gradient_changes_no_number(remat):
  small.assert_close(numbers(Options(remat=remat)), numbers(Options()))


def test_bfloat16_is_for_activations_alone():
  narrow = numbers(Options(dtype="bfloat16"))
  assert {leaf.dtype for leaf in jax.tree.leaves(narrow)} == {
    np.dtype("float32")
  }
  assert jnp.any(narrow["logits"] != numbers(Options())["logits"])


def test_a_cell_in_bfloat16_is_close_to_one_in_float32():
  # A cell alone: random layers on top of it would amplify the rounding.
  module = small.build_cell("normal", Options(), cell.Cell)
  weights = graph.split_weights(module.graph, jnp.full(small.SHAPE, 1 / 3))
  variables = small.fill(module, *small.inputs(), weights)

  @jax.jit
  def run(variables, first, last):
    return module.apply(
      variables, first, last, weights, train=True, mutable=["batch_stats"]
    )[0]

  wanted = run(variables, *small.inputs())
  narrow = run(variables, *(x.astype(jnp.bfloat16) for x in small.inputs()))
  assert narrow.dtype == jnp.bfloat16
  # 8 bits of mantissa: each rounding is off by at most 1 / 256.
  error = jnp.linalg.norm((narrow.astype(jnp.float32) - wanted).ravel())
  assert error < 0.02 * jnp.linalg.norm(wanted.ravel())


def logits(*, train, seed=0, **rates):
  images, weights, variables = problem()
  net = small.build()
  key = jax.random.key(seed)

  @jax.jit
  def run(variables, rates):
    return net.apply(
      variables,
      images,
      weights,
      train=train,
      rngs={"drop_path": key, "drop_skip": key},
      mutable=["batch_stats"],
      **rates,
    )[0]

  return run(
    variables, {name: jnp.float32(rate) for name, rate in rates.items()}
  )


def test_drops_act_in_training_alone():
  rates = {"drop_path": 0.5, "drop_skip": 0.5}
  np.testing.assert_array_equal(
    logits(train=False, **rates), logits(train=False)
  )
  plain = logits(train=True)
  np.testing.assert_allclose(
    logits(train=True, drop_path=0.0, drop_skip=0.0), plain, atol=1e-5
  )
  for name in rates:
    dropped = logits(train=True, **{name: 0.5})
    assert jnp.any(jnp.abs(dropped - plain) > 1e-3)
    assert jnp.any(dropped != logits(train=True, seed=1, **{name: 0.5}))


def test_edges_are_dropped_with_their_rate_and_rescaled():
  scales = drops.edge_scales(
    jax.random.key(0), jnp.float32(0.3), batch=256, num_edges=14
  )
  assert scales.shape == (256, 14)
  dropped = np.asarray(scales == 0)
  np.testing.assert_allclose(scales[~dropped], 1 / 0.7, rtol=1e-6)
  # Binomial, 4 standard errors.
  assert abs(dropped.mean() - 0.3) < 4 * (0.3 * 0.7 / dropped.size) ** 0.5


def test_elements_are_dropped_with_their_rate_and_rescaled():
  x = jnp.full((64, 64), 3.0)
  y = np.asarray(drops.drop_elements(jax.random.key(0), x, jnp.float32(0.25)))
  np.testing.assert_allclose(y[y != 0], 4.0, rtol=1e-6)
  assert abs((y == 0).mean() - 0.25) < 4 * (0.25 * 0.75 / y.size) ** 0.5
