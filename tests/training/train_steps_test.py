import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas import genotype as genotypes
from jnas.pipeline import networks, problem
from jnas.pipeline import training as training_stage
from jnas.training import keys, train_steps
from jnas.training.keys import Stage
from tests.pipeline import tiny

DECAY = 0.3  # the warm-up of the decay passes it between the second and third


def make(**settings):
  """The training of a tiny network, its state and a batch."""
  config = tiny.get_config()
  config = dataclasses.replace(
    config, evaluate=dataclasses.replace(config.evaluate, **settings)
  )
  found = problem.prepare(config)
  dataset = problem.load_data(found)
  cells = genotypes.from_dict(
    {
      "format": "jnas.genotype/1",
      **{
        name: {
          "num_inputs": 2,
          "nodes": [[[op, 0], ["skip_connect", 1]]],
          "concat": [2],
        }
        for name, op in (("normal", "sep_conv_3x3"), ("reduce", "max_pool_3x3"))
      },
    }
  )
  training = training_stage.make(
    found, dataset, networks.derived_net(found, cells)
  )
  key = keys.base(0, Stage.EVALUATE)
  state = training_stage.init_state(training, key, dataset.image_shape)
  state = training_stage.with_average(config.evaluate, state)
  random = np.random.default_rng(0)
  batch = {
    "images": jnp.asarray(random.integers(0, 256, (16, 4, 4, 1)), jnp.uint8),
    "labels": jnp.asarray(random.integers(0, 10, 16), jnp.int32),
  }
  return training, key, state, batch


def test_the_average_follows_the_weights_by_hand(compile_cache):
  training, key, state, batch = make(ema_decay=DECAY)
  step = jax.jit(train_steps.make_train_step(training))
  expected = state.average
  for decay in (0.1, 2 / 11, 0.25, DECAY, DECAY):
    state, _ = step(key, state, batch)
    moved = {"params": state.params, "batch_stats": state.batch_stats}
    expected = jax.tree.map(
      lambda old, new, decay=decay: decay * old + (1 - decay) * new,
      expected,
      moved,
    )
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
      state.average,
      expected,
    )
  assert state.variables is state.average


def test_the_average_moves_no_weight(compile_cache):
  results = []
  for settings in ({"ema_decay": DECAY}, {}):
    training, key, state, batch = make(**settings)
    step = jax.jit(train_steps.make_train_step(training))
    for _ in range(3):
      state, _ = step(key, state, batch)
    results.append(jax.tree.leaves((state.params, state.batch_stats)))
  for with_average, without in zip(*results, strict=True):
    np.testing.assert_array_equal(with_average, without)


def test_bfloat16_changes_activations_alone(compile_cache):
  training, key, state, batch = make(dtype="bfloat16")
  exact = training._replace(dtype="float32")
  step = train_steps.make_train_step(training)
  text = jax.jit(step).lower(key, state, batch).as_text()
  assert "bf16" in text
  moved, loss = jax.jit(step)(key, state, batch)
  wide, expected = jax.jit(train_steps.make_train_step(exact))(
    key, state, batch
  )
  assert loss.dtype == jnp.float32
  assert {leaf.dtype for leaf in jax.tree.leaves(moved.params)} == {
    np.dtype(np.float32)
  }
  np.testing.assert_allclose(loss, expected, rtol=2e-2)
  before, after, reference = (
    jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(s.params)])
    for s in (state, moved, wide)
  )
  assert not np.array_equal(after, reference)
  assert jnp.vdot(after - before, reference - before) > 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_logits_are_float32(dtype, compile_cache):
  training, _, state, batch = make(dtype=dtype)
  images = training.images.plain(batch["images"]).astype(dtype)
  outputs = training.net.apply(state.variables, images, train=False)
  assert outputs.logits.dtype == jnp.float32
