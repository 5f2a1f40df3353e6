"""Jit-compiled steps of training and testing a class for every pixel.

Each `make_*` closes over what is static and returns a function of arrays, as
in `train_steps`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnas.data import augment
from jnas.functional import pixels
from jnas.training import keys, metrics, optim
from jnas.training.batches import Batch
from jnas.training.keys import Purpose
from jnas.training.state import TrainState
from jnas.types import Array, PRNGKey, PyTree


class Segmenting(NamedTuple):
  """What the steps have in common; all static.

  Attributes:
    net: the network, images to logits of pixels.
    mean: of each channel, pixels scaled to 0..1.
    std: of each channel.
    params_tx: the optimiser.
    num_classes: classes of a pixel.
  """

  net: nn.Module
  mean: tuple[float, ...]
  std: tuple[float, ...]
  params_tx: optim.Optimizer
  num_classes: int


class PixelSums(NamedTuple):
  """Sums over pixels.

  Attributes:
    confusion: `[K, K]` int32, a row for each true class, a column for each
      predicted one.
    loss: `[]` float32, sum of losses.
  """

  confusion: Array
  loss: Array


def make_train_step(
  segmenting: Segmenting,
) -> Callable[[PRNGKey, TrainState, Batch], tuple[TrainState, Array]]:
  """A step on a batch of images and masks that are augmented already.

  Returns a function that also gives the mean loss of the batch's pixels, `[]`.
  The state's sums are over steps: of their mean losses and pixel accuracies.

  Source: DeepLabV3 (arXiv:1706.05587), Sec. 4.1; the mean is over all pixels
  of the batch that are not ignored.
  """

  def train_step(
    base_key: PRNGKey, state: TrainState, batch: Batch
  ) -> tuple[TrainState, Array]:
    key = jax.random.fold_in(base_key, state.step)
    images = augment.normalize(batch["images"], segmenting.mean, segmenting.std)

    def objective(params):
      logits, moved = segmenting.net.apply(
        {"params": params, "batch_stats": state.batch_stats},
        images,
        train=True,
        rngs={
          "dropout": keys.key_for(key, Purpose.DROPOUT),
          "noise": keys.key_for(key, Purpose.TRAIN_NOISE),
        },
        mutable=["batch_stats"],
      )
      losses, counted = pixels.cross_entropy(logits, batch["labels"])
      # A batch may have nothing but ignored pixels.
      number = jnp.maximum(counted.sum(), 1)
      right = (jnp.argmax(logits, axis=-1) == batch["labels"]) & counted
      return losses.sum() / number, (right.sum() / number, moved["batch_stats"])

    (loss, (accuracy, stats)), grad = jax.value_and_grad(
      objective, has_aux=True
    )(state.params)
    params, params_opt = segmenting.params_tx.step(
      grad, state.params_opt, state.params
    )
    sums = metrics.MetricSums(
      loss, accuracy.astype(jnp.float32), jnp.ones((), jnp.float32)
    )
    moved = state._replace(
      step=state.step + 1,
      params=params,
      batch_stats=stats,
      params_opt=params_opt,
      sums=metrics.add(state.sums, sums),
    )
    return moved, loss

  return train_step


def make_predict(segmenting: Segmenting) -> Callable[..., Array]:
  """The logits of images, `[B, H, W, classes]`, as the network is used."""

  def predict(params: PyTree, batch_stats: PyTree, images: Array) -> Array:
    logits: Any = segmenting.net.apply(
      {"params": params, "batch_stats": batch_stats},
      augment.normalize(images, segmenting.mean, segmenting.std),
      train=False,
      rngs={"noise": jax.random.key(0)},
    )
    return logits

  return predict


def make_eval(segmenting: Segmenting) -> Callable[..., PixelSums]:
  """Sums over a batch; images of mask 0 are padding and count nowhere."""
  predict = make_predict(segmenting)

  def evaluate(
    params: PyTree, batch_stats: PyTree, batch: Batch, mask: Array
  ) -> PixelSums:
    logits = predict(params, batch_stats, batch["images"])
    labels = jnp.where(
      mask[:, None, None] > 0, batch["labels"], pixels.IGNORED
    ).astype(jnp.int32)
    losses, _ = pixels.cross_entropy(logits, labels)
    confusion = pixels.confusion(
      jnp.argmax(logits, axis=-1), labels, num_classes=segmenting.num_classes
    )
    return PixelSums(confusion, losses.sum())

  return evaluate
