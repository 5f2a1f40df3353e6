"""The steps of search and training on the networks of NAS-Bench-201."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnas.genotype import Cell, Genotype
from jnas.methods import METHODS
from jnas.nets import (
  nasbench201_derived,
  nasbench201_plan,
  nasbench201_supernet,
)
from jnas.pipeline import evaluate, search
from jnas.spaces import Space
from jnas.training import keys, steps
from jnas.training.keys import Stage

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
PLAN = nasbench201_plan.plan(features=2, cells_per_stage=1, num_classes=2)
IMAGES = steps.Images(
  mean=(0.5,), std=(0.25,), crop_padding=0, flip=False, cutout=0
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


def test_a_search_lowers_the_loss_and_moves_the_architecture(
  batch, compile_cache
):
  method = METHODS["darts"]
  made = steps.Search(
    net=nasbench201_supernet.build(SPACE, PLAN),
    space=SPACE,
    method=method,
    settings=method.settings(),
    images=IMAGES,
    params_tx=optax.sgd(0.05, momentum=0.9),
    arch_tx=optax.adam(1e-2),
    arch_moves_statistics=False,
    num_epochs=1,
    steps_per_epoch=12,
  )
  base_key = keys.base(0, Stage.SEARCH)
  state = search.init_state(made, base_key, (8, 8, 1))
  assert jax.tree.map(jnp.shape, state.arch) == {"normal": (1, 3)}
  first = state
  weight_step = jax.jit(steps.make_weight_step(made, base_key))
  arch_step = jax.jit(steps.make_arch_step(made, base_key))
  losses = []
  for _ in range(12):
    state, loss = weight_step(arch_step(state, batch), batch)
    losses.append(float(loss))
  assert min(losses[-3:]) < 0.5 * losses[0]
  moved = np.abs(state.arch["normal"] - first.arch["normal"])
  # `none` moves too, though nothing of it is run: the others of its edge do.
  assert np.all(moved > 1e-4)
  assert int(state.step) == 12


def test_training_lowers_the_loss_with_edges_dropped(batch, compile_cache):
  genotype = Genotype(
    Cell(((("skip_connect", 0), ("nor_conv_1x1", 0)),), (1,), num_inputs=1)
  )
  training = steps.Training(
    net=nasbench201_derived.build(genotype, PLAN),
    images=IMAGES,
    params_tx=optax.sgd(0.05, momentum=0.9),
    drop_path=0.2,
    auxiliary_weight=0.4,
    label_smoothing=0.0,
    num_epochs=2,
    steps_per_epoch=8,
  )
  base_key = keys.base(0, Stage.EVALUATE)
  state = evaluate.init_state(training, base_key, (8, 8, 1))
  step = jax.jit(steps.make_train_step(training, base_key))
  losses = []
  for _ in range(16):
    state, loss = step(state, batch)
    losses.append(float(loss))
  assert min(losses[-3:]) < 0.5 * losses[0]
  mask = jnp.ones(8)
  sums = jax.jit(steps.make_train_eval(training))(
    state.params, state.batch_stats, batch, mask
  )
  assert float(sums.count) == 8
