"""The steps of search and training on the networks of NAS-Bench-201."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.genotype import Cell, Genotype
from jnas.pipeline import networks, problem, programs
from jnas.pipeline import training as training_stage
from jnas.spaces import Space
from jnas.training import keys, steps, train_steps
from jnas.training.keys import Stage
from tests.pipeline import tiny

# One node and two operations: a step compiles in seconds.
SPACE = Space(
  name="two",
  num_inputs=1,
  num_nodes=1,
  ops={"normal": (("none", "skip_connect", "nor_conv_1x1"),)},
  concat=(1,),
  pool_norm=False,
  network="nasbench201",
  every_edge=True,
)


@pytest.fixture(scope="module")
def batch():
  """Dark and bright images, told apart by their mean."""
  generator = np.random.default_rng(0)
  labels = np.arange(8) % 2
  images = (
    generator.integers(0, 60, (8, 8, 8, 1)) + 150 * labels[:, None, None, None]
  )
  return {
    "images": jnp.asarray(images, jnp.uint8),
    "labels": jnp.asarray(labels, jnp.int32),
  }


@pytest.fixture(scope="module")
def found():
  config = tiny.get_config()
  return problem.prepare(
    dataclasses.replace(
      config,
      space="tests.training.nasbench201_test:SPACE",
      data=dataclasses.replace(config.data, image_size=8),
      search=dataclasses.replace(config.search, lr=0.05, arch_lr=1e-2),
      evaluate=dataclasses.replace(config.evaluate, lr=0.1, cutout=0),
    )
  )


def test_a_search_lowers_the_loss_and_moves_the_architecture(
  batch, found, compile_cache
):
  made = programs.make(found, problem.load_data(found))
  base_key = keys.base(0, Stage.SEARCH)
  state = programs.init_state(made, base_key, (8, 8, 1))
  assert jax.tree.map(jnp.shape, state.arch) == {"normal": (1, 3)}
  first = state
  weight_step = jax.jit(steps.make_weight_step(made))
  arch_step = jax.jit(steps.make_arch_step(made))
  losses = []
  for _ in range(12):
    state = arch_step(base_key, state, (batch, batch))
    state, loss = weight_step(base_key, state, batch)
    losses.append(float(loss))
  assert min(losses[-3:]) < 0.5 * losses[0]
  assert not np.array_equal(state.arch["normal"], first.arch["normal"])


def test_a_training_lowers_the_loss_and_tests(batch, found, compile_cache):
  genotype = Genotype(Cell(((("nor_conv_1x1", 0),),), (1,), 1), None)
  training = training_stage.make(
    found, problem.load_data(found), networks.derived_net(found, genotype)
  )
  base_key = keys.base(0, Stage.EVALUATE)
  state = training_stage.init_state(training, base_key, (8, 8, 1))
  step = jax.jit(train_steps.make_train_step(training))
  losses = []
  for _ in range(16):
    state, loss = step(base_key, state, batch)
    losses.append(float(loss))
  assert min(losses[-3:]) < 0.5 * losses[0]
  mask = jnp.ones(8)
  sums = jax.jit(train_steps.make_train_eval(training))(
    state.variables, batch, mask
  )
  assert float(sums.count) == 8
