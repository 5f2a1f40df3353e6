"""What networks lose when layers change places at test time.

Source: PT (arXiv:2108.04392), Sec. 3.2 and Table 1; SPEC 5, P14.
"""

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnas import config as configs
from jnas.genotype import Cell, Genotype
from jnas.nets import graph
from jnas.pipeline import (
  analysis,
  display,
  epochs,
  evaluate,
  folder,
  networks,
  problem,
  search,
  stage,
  training,
)
from jnas.training import keys, train_steps
from jnas.training.keys import Purpose, Stage
from jnas.training.state import TrainState
from jnas.types import PyTree

_NUM_DRAWS = 5
_NUM_LAYERS = 4
_LAYER = "conv_3x3"
# Each node takes the one before it alone, and the last is the cell's output:
# ReLU, 3x3 convolution and batch norm again and again, nothing around them.
_STACK = Cell(
  nodes=tuple(((_LAYER, 1 + node),) for node in range(_NUM_LAYERS)),
  concat=(1 + _NUM_LAYERS,),
)
PLAIN = Genotype(normal=_STACK, reduce=_STACK)


def supernet_shuffled(
  config: configs.Config, path: pathlib.Path
) -> dict[str, Any]:
  """Accuracy of a searched supernet, two edges of each cell exchanged.

  Args:
    config: of the search, which is run or continued.
    path: the run folder.

  Returns:
    `before`, `after` of each draw, and their `mean`, on validation images.
  """
  search.run(config, path)
  return analysis.shuffle(
    problem.prepare(config),
    folder.open_run(config, path),
    num_draws=_NUM_DRAWS,
  )


def plain_shuffled(
  config: configs.Config, path: pathlib.Path
) -> dict[str, Any]:
  """The same of a plain stack of convolutions, two layers of each stage.

  Choice: for the paper's VGG stands a network of cells that hold nothing but
  a chain of convolutions, trained as `evaluate` says; a cell of it is a stage.

  Args:
    config: of the training, which is run or continued.
    path: the run folder.

  Returns:
    `before`, `after` of each draw, and their `mean`, on test images.
  """
  evaluate.run(config, path, genotype=PLAIN)
  found = problem.prepare(config)
  dataset = problem.load_data(found)
  run_folder = folder.open_run(config, path)
  parts = training.make(found, dataset, networks.derived_net(found, PLAIN))
  base_key = keys.base(config.seed, Stage.EVALUATE, 1)
  state, test = stage.place(
    training.with_average(
      config.evaluate,
      training.init_state(parts, base_key, dataset.image_shape),
    ),
    dataset.test,
    batch_size=config.evaluate.batch_size,
  )
  with epochs.open_checkpoints(
    run_folder.evaluate, run_folder.hash
  ) as checkpoints:
    restored = checkpoints.restore(state)
  if restored is None:
    raise FileNotFoundError(f"no checkpoint in {run_folder.evaluate}")
  batch = test.first()
  test_step = stage.compile_step(
    "test",
    train_steps.make_train_eval(parts),
    restored.state.variables,
    batch,
    jnp.ones_like(batch["labels"], jnp.float32),
  )

  def measure(state: TrainState) -> float:
    variables = jax.device_put(state.variables, state.step.sharding)
    evaluated = functools.partial(test_step, variables)
    return stage.measure(evaluated, test).accuracy

  before, after = measure(restored.state), []
  with display.waiting("exchanging layers"):
    for draw in range(_NUM_DRAWS):
      key = keys.key_for(base_key, Purpose.SELECT, draw)
      after.append(measure(_swapped(restored.state, key)))
  return {"before": before, "after": after, "mean": float(np.mean(after))}


def _swapped(state: TrainState, key: jax.Array) -> TrainState:
  """The network with two layers of each cell exchanged."""
  cells = sorted(name for name in state.params if name.startswith("cell_"))
  pairs = {}
  for index, name in enumerate(cells):
    drawn = jax.random.choice(
      jax.random.fold_in(key, index), _NUM_LAYERS, (2,), replace=False
    )
    pairs[name] = tuple(graph.node_name(1 + int(layer)) for layer in drawn)
  return state._replace(
    params=_exchange(state.params, pairs),
    batch_stats=_exchange(state.batch_stats, pairs),
  )


def _exchange(
  tree: PyTree, pairs: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
  """A collection, two nodes' variables exchanged in each cell."""
  exchanged = dict(tree)
  for name, (one, other) in pairs.items():
    cell = tree[name]
    exchanged[name] = {**cell, one: cell[other], other: cell[one]}
  return exchanged
