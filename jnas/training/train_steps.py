"""Jit-compiled steps of training and testing a derived network.

Each `make_*` closes over what is static and returns a function of arrays, as
in `steps`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jnas.functional import schedules
from jnas.training import batches, keys, metrics, optim
from jnas.training.batches import Batch, Images
from jnas.training.keys import Purpose
from jnas.training.state import TrainState
from jnas.types import Array, PRNGKey, PyTree


class Training(NamedTuple):
  """What the steps of training a derived network have in common; all static.

  Attributes:
    net: the derived network.
    images: how images become inputs.
    params_tx: the optimiser.
    drop_path: probability of dropping an edge in the last epoch.
    auxiliary_weight: weight of the auxiliary head's loss.
    label_smoothing: share of the target spread over all classes.
    ema_decay: of the moving average of the weights; 0 for none.
    dtype: of activations.
    num_epochs: of the training.
    steps_per_epoch: steps in an epoch.
  """

  net: nn.Module
  images: Images
  params_tx: optim.Optimizer
  drop_path: float
  auxiliary_weight: float
  label_smoothing: float
  ema_decay: float
  dtype: str
  num_epochs: int
  steps_per_epoch: int


def make_train_step(
  training: Training,
) -> Callable[[PRNGKey, TrainState, Batch], tuple[TrainState, Array]]:
  """A step of training a derived network.

  Returns a function that also gives the mean loss of the batch, `[]`.

  Source: DARTS, Sec. 3.2: cutout, path dropout whose probability grows
  linearly, auxiliary towers with weight 0.4.
  """

  def train_step(
    base_key: PRNGKey, state: TrainState, batch: Batch
  ) -> tuple[TrainState, Array]:
    key = jax.random.fold_in(base_key, state.step)
    images = training.images.training(
      keys.key_for(key, Purpose.TRAIN_AUGMENT), batch["images"]
    ).astype(training.dtype)
    drop_path = schedules.linear(
      state.step // training.steps_per_epoch,
      start=0.0,
      end=training.drop_path,
      num_epochs=training.num_epochs,
    )

    def objective(params):
      outputs, moved = training.net.apply(
        {"params": params, "batch_stats": state.batch_stats},
        images,
        train=True,
        drop_path=drop_path if training.drop_path else None,
        rngs={
          "drop_path": keys.key_for(key, Purpose.DROP_PATH),
          "noise": keys.key_for(key, Purpose.TRAIN_NOISE),
        },
        mutable=["batch_stats"],
      )
      smoothing = training.label_smoothing
      losses = batches.losses(outputs.logits, batch["labels"], smoothing)
      total = jnp.mean(losses)
      if outputs.auxiliary is not None:
        auxiliary = batches.losses(
          outputs.auxiliary, batch["labels"], smoothing
        )
        total += training.auxiliary_weight * jnp.mean(auxiliary)
      return total, (losses, outputs.logits, moved["batch_stats"])

    grad, (losses, logits, stats) = jax.grad(objective, has_aux=True)(
      state.params
    )
    params, params_opt = training.params_tx.step(
      grad, state.params_opt, state.params
    )
    moved = state._replace(
      step=state.step + 1,
      params=params,
      batch_stats=stats,
      params_opt=params_opt,
      sums=batches.add_sums(state.sums, losses, logits, batch["labels"]),
      average=_average(training, state, params, stats),
    )
    return moved, jnp.mean(losses)

  return train_step


def _average(
  training: Training, state: TrainState, params: PyTree, stats: PyTree
) -> PyTree:
  """The moving average after a step, None where none is kept.

  Choice: its decay rises to the full one as (1 + step) / (10 + step), so that
  a short training is not averaged with its beginning.
  """
  if state.average is None:
    return None
  step = state.step.astype(jnp.float32)
  decay = jnp.minimum(training.ema_decay, (1 + step) / (10 + step))
  return optax.incremental_update(
    {"params": params, "batch_stats": stats}, state.average, 1 - decay
  )


def make_train_eval(training: Training) -> Callable[..., metrics.MetricSums]:
  """Sums of a derived network over a batch, as it will be used."""

  def evaluate(
    variables: PyTree, batch: Batch, mask: Array
  ) -> metrics.MetricSums:
    outputs: Any = training.net.apply(
      variables,
      training.images.plain(batch["images"]).astype(training.dtype),
      train=False,
      rngs={"noise": jax.random.key(0)},
    )
    losses = batches.losses(outputs.logits, batch["labels"])
    return metrics.batch_sums(
      losses, batches.hits(outputs.logits, batch["labels"]), mask
    )

  return evaluate
