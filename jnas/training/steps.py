"""Jit-compiled steps: architecture, weights, training, evaluation.

Each `make_*` closes over what is static and returns a function of arrays. The
state is donated and replicated, batches are split over the devices. Random
draws are keyed by the step, so a step is a function of (base key, state,
batch) and resuming needs nothing else.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jnas.data import augment
from jnas.functional import objectives, schedules
from jnas.methods import Method
from jnas.nets.derived import DerivedNet
from jnas.nets.supernet import Supernet
from jnas.spaces import Space
from jnas.training import keys, metrics
from jnas.training.keys import Purpose
from jnas.training.state import SearchState, TrainState
from jnas.types import Array, CellWeights, PRNGKey, Progress, PyTree

Batch = dict[str, Array]


class Images(NamedTuple):
  """How images become inputs, settings of `augment.augment`.

  Attributes:
    mean: of each channel, pixels scaled to 0..1.
    std: of each channel.
    crop_padding: pixels; 0 for no crop.
    flip: whether to flip at random.
    cutout: side of the square; 0 for none.
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]
  crop_padding: int
  flip: bool
  cutout: int

  def training(self, key: PRNGKey, images: Array) -> Array:
    """Augmented inputs from `[B, H, W, C]` uint8; the key is consumed."""
    return augment.augment(
      key,
      images,
      mean=self.mean,
      std=self.std,
      crop_padding=self.crop_padding,
      flip=self.flip,
      cutout_size=self.cutout,
    )

  def plain(self, images: Array) -> Array:
    """Normalised inputs from `[B, H, W, C]` uint8."""
    return augment.normalize(images, self.mean, self.std)


class Search(NamedTuple):
  """What the steps of a search have in common; all static.

  Attributes:
    net: the supernet.
    space: the search space.
    method: the search method.
    settings: the method's settings.
    images: how images become inputs.
    params_tx: optimiser of the weights.
    arch_tx: optimiser of the architecture.
    arch_moves_statistics: whether architecture steps move the running batch
      statistics.
    num_epochs: of the search.
    steps_per_epoch: weight steps in an epoch.
  """

  net: Supernet
  space: Space
  method: Method
  settings: Any
  images: Images
  params_tx: optax.GradientTransformation
  arch_tx: optax.GradientTransformation
  arch_moves_statistics: bool
  num_epochs: int
  steps_per_epoch: int

  def progress(self, step: Array) -> Progress:
    """How far a search has come after a number of steps."""
    return Progress(
      epoch=jnp.asarray(step // self.steps_per_epoch, jnp.int32),
      num_epochs=jnp.asarray(self.num_epochs, jnp.int32),
      step=jnp.asarray(step, jnp.int32),
    )


def make_arch_step(
  search: Search, base_key: PRNGKey
) -> Callable[[SearchState, Batch], SearchState]:
  """The step of the architecture on a validation batch.

  Choice: batch norms use the batch's statistics and leave the running ones
  alone (SPEC 6, D1); `arch_moves_statistics` does as the authors' code.

  Source: DARTS, Algorithm 1, step 1, first order.
  """

  def arch_step(state: SearchState, batch: Batch) -> SearchState:
    key = jax.random.fold_in(base_key, state.step)
    images = search.images.training(
      keys.key_for(key, Purpose.VALID_AUGMENT), batch["images"]
    )
    progress = search.progress(state.step)

    mix_key = keys.key_for(key, Purpose.VALID_MIX)

    def apply(weights: CellWeights) -> tuple[Array, PyTree]:
      return _apply_supernet(
        search,
        state.params,
        state.batch_stats,
        images,
        weights,
        keys.key_for(key, Purpose.VALID_NOISE),
      )

    def loss_fn(weights: CellWeights) -> Array:
      return jnp.mean(_losses(apply(weights)[0], batch["labels"]))

    def objective(arch):
      return search.method.arch_objective(
        search.settings, arch, mix_key, search.space, progress, loss_fn
      )

    batch_stats = state.batch_stats
    if search.arch_moves_statistics:
      weights = search.method.mix(
        search.settings, state.arch, mix_key, search.space, progress
      )
      batch_stats = apply(weights)[1]
    grad = jax.grad(objective)(state.arch)
    updates, arch_opt = search.arch_tx.update(grad, state.arch_opt, state.arch)
    return state._replace(
      arch=optax.apply_updates(state.arch, updates),
      arch_opt=arch_opt,
      batch_stats=batch_stats,
    )

  return arch_step


def make_weight_step(
  search: Search, base_key: PRNGKey
) -> Callable[[SearchState, Batch], tuple[SearchState, Array]]:
  """The step of the weights on a training batch, which ends a step.

  Returns a function that also gives the mean loss of the batch, `[]`.

  Source: DARTS, Algorithm 1, step 2; SPEC 3.0 for the optimiser.
  """

  def weight_step(
    state: SearchState, batch: Batch
  ) -> tuple[SearchState, Array]:
    key = jax.random.fold_in(base_key, state.step)
    images = search.images.training(
      keys.key_for(key, Purpose.TRAIN_AUGMENT), batch["images"]
    )
    weights = search.method.mix(
      search.settings,
      state.arch,
      keys.key_for(key, Purpose.TRAIN_MIX),
      search.space,
      search.progress(state.step),
    )

    def objective(params):
      logits, stats = _apply_supernet(
        search,
        params,
        state.batch_stats,
        images,
        weights,
        keys.key_for(key, Purpose.TRAIN_NOISE),
      )
      losses = _losses(logits, batch["labels"])
      return jnp.mean(losses), (losses, logits, stats)

    grad, (losses, logits, stats) = jax.grad(objective, has_aux=True)(
      state.params
    )
    updates, params_opt = search.params_tx.update(
      grad, state.params_opt, state.params
    )
    moved = state._replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      batch_stats=stats,
      params_opt=params_opt,
      sums=_add_batch(state.sums, losses, logits, batch["labels"]),
    )
    return moved, jnp.mean(losses)

  return weight_step


def make_search_eval(search: Search) -> Callable[..., metrics.MetricSums]:
  """Sums of a supernet over a batch, batch norms on running statistics."""

  def evaluate(
    params: PyTree,
    batch_stats: PyTree,
    weights: CellWeights,
    batch: Batch,
    mask: Array,
  ) -> metrics.MetricSums:
    logits: Any = search.net.apply(
      {"params": params, "batch_stats": batch_stats},
      search.images.plain(batch["images"]),
      weights,
      train=False,
      rngs={"noise": jax.random.key(0)},
    )
    losses = _losses(logits, batch["labels"])
    return metrics.batch_sums(losses, _hits(logits, batch["labels"]), mask)

  return evaluate


class Training(NamedTuple):
  """What the steps of training a derived network have in common; all static.

  Attributes:
    net: the derived network.
    images: how images become inputs.
    params_tx: the optimiser.
    drop_path: probability of dropping an edge in the last epoch.
    auxiliary_weight: weight of the auxiliary head's loss.
    label_smoothing: share of the target spread over all classes.
    num_epochs: of the training.
    steps_per_epoch: steps in an epoch.
  """

  net: DerivedNet
  images: Images
  params_tx: optax.GradientTransformation
  drop_path: float
  auxiliary_weight: float
  label_smoothing: float
  num_epochs: int
  steps_per_epoch: int


def make_train_step(
  training: Training, base_key: PRNGKey
) -> Callable[[TrainState, Batch], tuple[TrainState, Array]]:
  """A step of training a derived network.

  Returns a function that also gives the mean loss of the batch, `[]`.

  Source: DARTS, Sec. 3.2: cutout, path dropout whose probability grows
  linearly, auxiliary towers with weight 0.4.
  """

  def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Array]:
    key = jax.random.fold_in(base_key, state.step)
    images = training.images.training(
      keys.key_for(key, Purpose.TRAIN_AUGMENT), batch["images"]
    )
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
      losses = _losses(outputs.logits, batch["labels"], smoothing)
      total = jnp.mean(losses)
      if outputs.auxiliary is not None:
        auxiliary = _losses(outputs.auxiliary, batch["labels"], smoothing)
        total += training.auxiliary_weight * jnp.mean(auxiliary)
      return total, (losses, outputs.logits, moved["batch_stats"])

    grad, (losses, logits, stats) = jax.grad(objective, has_aux=True)(
      state.params
    )
    updates, params_opt = training.params_tx.update(
      grad, state.params_opt, state.params
    )
    moved = state._replace(
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      batch_stats=stats,
      params_opt=params_opt,
      sums=_add_batch(state.sums, losses, logits, batch["labels"]),
    )
    return moved, jnp.mean(losses)

  return train_step


def make_train_eval(training: Training) -> Callable[..., metrics.MetricSums]:
  """Sums of a derived network over a batch, as it will be used."""

  def evaluate(
    params: PyTree, batch_stats: PyTree, batch: Batch, mask: Array
  ) -> metrics.MetricSums:
    outputs: Any = training.net.apply(
      {"params": params, "batch_stats": batch_stats},
      training.images.plain(batch["images"]),
      train=False,
      rngs={"noise": jax.random.key(0)},
    )
    losses = _losses(outputs.logits, batch["labels"])
    return metrics.batch_sums(
      losses, _hits(outputs.logits, batch["labels"]), mask
    )

  return evaluate


def _apply_supernet(
  search: Search,
  params: PyTree,
  batch_stats: PyTree,
  images: Array,
  weights: CellWeights,
  noise_key: PRNGKey,
) -> tuple[Array, PyTree]:
  """Logits in training mode, and the running statistics moved."""
  logits, moved = search.net.apply(
    {"params": params, "batch_stats": batch_stats},
    images,
    weights,
    train=True,
    rngs={"noise": noise_key},
    mutable=["batch_stats"],
  )
  return logits, moved["batch_stats"]


def _losses(
  logits: Array, labels: Array, label_smoothing: float = 0.0
) -> Array:
  return objectives.cross_entropy(
    logits, labels, label_smoothing=label_smoothing
  )


def _hits(logits: Array, labels: Array) -> Array:
  return jnp.argmax(logits, axis=-1) == labels


def _add_batch(
  sums: metrics.MetricSums, losses: Array, logits: Array, labels: Array
) -> metrics.MetricSums:
  batch = metrics.batch_sums(
    losses, _hits(logits, labels), jnp.ones_like(losses)
  )
  return metrics.add(sums, batch)
