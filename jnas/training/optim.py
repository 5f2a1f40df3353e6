"""Optimisers with the semantics that the papers' code has.

Source: SPEC 3.0, "Optimiser semantics".
"""

import optax

from jnas.config import EvaluateConfig, SearchConfig
from jnas.functional import schedules


def sgd(
  settings: SearchConfig | EvaluateConfig, *, steps_per_epoch: int
) -> optax.GradientTransformation:
  """SGD on the weights: clip, add weight decay, momentum, cosine rate.

  The rate is constant within an epoch; epoch 0 runs at the full rate.

  Args:
    settings: lr, lr_min, momentum, weight_decay, clip_norm, epochs.
    steps_per_epoch: optimiser steps in an epoch.
  """

  def learning_rate(count):
    return weights_lr(settings, count // steps_per_epoch)

  # One long vector instead of hundreds of leaves: a few instructions to
  # compile instead of a few for each leaf.
  return optax.flatten(
    optax.chain(
      optax.clip_by_global_norm(settings.clip_norm),
      optax.add_decayed_weights(settings.weight_decay),
      optax.trace(decay=settings.momentum),
      optax.scale_by_learning_rate(learning_rate),
    )
  )


def weights_lr(settings: SearchConfig | EvaluateConfig, epoch):
  """Learning rate of the weights in an epoch.

  Source: DARTS, Sec. 3: cosine, annealed to zero.
  """
  return schedules.cosine(
    epoch,
    start=settings.lr,
    end=settings.lr_min,
    num_epochs=settings.epochs,
  )


def adam_with_l2(settings: SearchConfig) -> optax.GradientTransformation:
  """Adam on the architecture, weight decay added before the moments.

  Source: DARTS, Sec. 3.1.2: Adam, betas (0.5, 0.999), weight decay 1e-3.
  """
  return optax.chain(
    optax.add_decayed_weights(settings.arch_weight_decay),
    optax.scale_by_adam(
      b1=settings.arch_beta1, b2=settings.arch_beta2, eps=1e-8
    ),
    optax.scale_by_learning_rate(settings.arch_lr),
  )
