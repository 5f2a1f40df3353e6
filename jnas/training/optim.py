"""Optimisers with the semantics that the papers' code has.

Source: SPEC 3.0, "Optimiser semantics".
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from jnas.config import EvaluateConfig, SearchConfig, SegmentConfig
from jnas.functional import schedules
from jnas.native import apart, blocks
from jnas.types import Array, PyTree

# Decays of Adam on the weights.
_ADAM = (0.9, 0.999)


class Optimizer(NamedTuple):
  """An optimiser of the weights.

  Attributes:
    init: the parameters to the state.
    step: the gradient, the state and the parameters to the parameters moved,
      and the state after it.
  """

  init: Callable[[PyTree], PyTree]
  step: Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]


class Unroll(NamedTuple):
  """The virtual step of second-order DARTS.

  Attributes:
    learning_rate: of a step, xi.
    momentum: mu.
    weight_decay: of the weights.
  """

  learning_rate: Callable[[Array], Array]
  momentum: float
  weight_decay: float


def weights(
  settings: SearchConfig | EvaluateConfig, *, steps_per_epoch: int
) -> Optimizer:
  """The optimiser of the weights: clip, weight decay, SGD or Adam, rate.

  Weight decay is added to the gradient, for Adam too. The rate is constant
  within an epoch; epoch 0 runs at the full rate.

  Args:
    settings: optimizer, momentum, weight_decay, clip_norm, and what
      `weights_lr` reads.
    steps_per_epoch: optimiser steps in an epoch.
  """
  if settings.optimizer == "adam":
    direction = optax.scale_by_adam(*_ADAM, eps=1e-8)
  else:
    direction = optax.trace(decay=settings.momentum)

  whole = optax.chain(
    optax.clip_by_global_norm(settings.clip_norm),
    optax.add_decayed_weights(settings.weight_decay),
    direction,
    optax.scale_by_learning_rate(
      lambda count: weights_lr(settings, _epoch(count, steps_per_epoch))
    ),
  )
  return _on_vector(whole)


def _on_vector(whole: optax.GradientTransformation) -> Optimizer:
  """A transformation of one long vector instead of hundreds of leaves.

  A few instructions to compile instead of a few for each leaf.
  """

  def init(params: PyTree) -> PyTree:
    return whole.init(blocks.ravel(params)[0])

  def step(
    grad: PyTree, state: PyTree, params: PyTree
  ) -> tuple[PyTree, PyTree]:
    chex.assert_trees_all_equal_shapes(grad, params)
    flat, restore = blocks.ravel(params)
    update = apart.on_cpu(whole.update)
    updates, state = update(blocks.ravel(grad)[0], state, flat)
    return restore(flat + updates), state

  return Optimizer(init, step)


def weights_lr(settings: SearchConfig | EvaluateConfig, epoch) -> Array:
  """Learning rate of the weights in an epoch.

  Source: DARTS, Sec. 3: cosine, annealed to zero; EnTranNAS, Sec. 4.1, linear
  on ImageNet; DARTS, Sec. 3.3, 0.97 an epoch on ImageNet; UNAS, Sec. 4.1,
  scaled with the batch and warmed up for 5 epochs on ImageNet.

  Choice: the warm-up multiplies the schedule, which goes on below it, and is
  constant within an epoch as the schedule is; it could also rise with every
  step, or come before the schedule.

  Args:
    settings: lr, lr_min, lr_batch, lr_warmup, lr_first_epoch, schedule,
      lr_decay, batch_size, epochs.
    epoch: `[]` integer, epochs done.

  Returns:
    `[]` float32.
  """
  scale = settings.batch_size / (settings.lr_batch or settings.batch_size)
  rate = scale * _schedule(settings, epoch + settings.lr_first_epoch)
  if settings.lr_warmup:
    rate *= jnp.minimum((epoch + 1) / settings.lr_warmup, 1.0)
  return rate


def _schedule(settings: SearchConfig | EvaluateConfig, epoch) -> Array:
  if settings.schedule == "exponential":
    return schedules.exponential(
      epoch, start=settings.lr, decay=settings.lr_decay
    )
  if settings.schedule == "linear":
    return schedules.linear(
      epoch,
      start=settings.lr,
      end=settings.lr_min,
      num_epochs=settings.epochs,
    )
  return schedules.cosine(
    epoch, start=settings.lr, end=settings.lr_min, num_epochs=settings.epochs
  )


def segmentation(settings: SegmentConfig, *, num_steps: int) -> Optimizer:
  """SGD with momentum and the "poly" rate, which falls with every step.

  Source: DeepLabV3 (arXiv:1706.05587), Sec. 4.1.

  Args:
    settings: lr, lr_power, momentum, weight_decay.
    num_steps: of the whole training.
  """
  return _on_vector(
    optax.chain(
      optax.add_decayed_weights(settings.weight_decay),
      optax.trace(decay=settings.momentum),
      optax.scale_by_learning_rate(
        lambda count: segmentation_lr(settings, count, num_steps=num_steps)
      ),
    )
  )


def segmentation_lr(settings: SegmentConfig, step, *, num_steps: int) -> Array:
  """Learning rate of a step of `segmentation`."""
  return schedules.polynomial(
    step, start=settings.lr, power=settings.lr_power, num_steps=num_steps
  )


def architecture(
  settings: SearchConfig, *, steps_per_epoch: int
) -> optax.GradientTransformation:
  """Adam on the architecture, weight decay added before the moments.

  Source: DARTS, Sec. 3.1.2: Adam, betas (0.5, 0.999), weight decay 1e-3;
  UNAS, Appendix: a cosine from 2e-3 to 3e-4.

  Args:
    settings: the fields called arch_*.
    steps_per_epoch: optimiser steps in an epoch.
  """
  clip = (
    optax.clip_by_global_norm(settings.arch_clip_norm)
    if settings.arch_clip_norm
    else optax.identity()
  )
  return optax.chain(
    clip,
    optax.add_decayed_weights(settings.arch_weight_decay),
    optax.scale_by_adam(
      b1=settings.arch_beta1, b2=settings.arch_beta2, eps=1e-8
    ),
    optax.scale_by_learning_rate(
      lambda count: arch_lr(settings, _epoch(count, steps_per_epoch))
    ),
  )


def _epoch(count: jax.typing.ArrayLike, steps_per_epoch: int) -> Array:
  """The epoch of an optimiser's step."""
  return jnp.asarray(count, jnp.int32) // steps_per_epoch


def arch_lr(settings: SearchConfig, epoch) -> Array:
  """Learning rate of the architecture in an epoch in which it moves."""
  return schedules.cosine(
    epoch,
    start=settings.arch_lr,
    end=settings.arch_lr * settings.arch_lr_share,
    num_epochs=max(settings.epochs - settings.arch_warmup, 1),
  )


def unroll(settings: SearchConfig, *, steps_per_epoch: int) -> Unroll:
  """The virtual step that the weights' optimiser would make next.

  Source: DARTS, Eq. (7): xi is the current learning rate.
  """
  return Unroll(
    learning_rate=lambda step: weights_lr(settings, step // steps_per_epoch),
    momentum=settings.momentum,
    weight_decay=settings.weight_decay,
  )


def momentum_of(params_opt: PyTree, params: PyTree) -> PyTree:
  """The momentum buffer of `weights`, shaped like the parameters.

  Zeros where the optimiser is not SGD.
  """
  buffer = optax.tree_utils.tree_get(params_opt, "trace")
  flat, restore = blocks.ravel(params)
  return restore(jnp.zeros_like(flat) if buffer is None else buffer)
