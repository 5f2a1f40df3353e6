"""UNAS's loss of images: what is estimated, and by which estimator.

Source: UNAS (arXiv:1912.07651), Eqs. (3), (4) and (8); SPEC 3.9.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jnas.functional import estimators, factorized, objectives
from jnas.methods import base
from jnas.methods.unas_choices import Choices
from jnas.types import Array, CellWeights, PRNGKey, PyTree


def init_memory(settings: Any) -> dict[str, Array]:
  """What REINFORCE remembers: the average of past losses."""
  if settings.estimator != "reinforce":
    return {}
  return {"baseline": jnp.zeros(()), "has_baseline": jnp.zeros((), bool)}


def num_samples(settings: Any, context: base.Context) -> int | None:
  """Architectures that are drawn at once; None for one without an axis."""
  return context.batch_size if settings.per_example else None


def loss(
  settings: Any,
  key: PRNGKey,
  choices: Choices,
  context: base.Context,
  losses: base.Losses,
) -> tuple[Array, PyTree]:
  """Scalar whose gradient estimates that of the expected loss of images.

  Args:
    settings: UNAS's.
    key: consumed.
    choices: of architectures.
    context: memory and batch size.
    losses: of the network on a training and a validation batch.

  Returns:
    `[]` the surrogate, and the memory.
  """

  def loss_fn(selectors: Any) -> Array:
    weights = choices.weights(selectors)
    return _loss(settings, weights, losses) + _penalty(settings, selectors)

  common = {
    "num_samples": num_samples(settings, context),
    "mask": choices.mask,
  }
  if settings.estimator == "rebar":
    return estimators.rebar_surrogate(
      choices.phi,
      key,
      loss_fn,
      temperature=settings.temperature,
      coupled=settings.coupled,
      **common,
    )[0], context.memory
  if settings.estimator == "reinforce":
    return _reinforce(settings, choices.phi, key, loss_fn, context, common)
  pathwise = {
    "gumbel_softmax": estimators.gs_surrogate,
    "straight_through": estimators.straight_through_surrogate,
  }[settings.estimator]
  value, _ = pathwise(choices.phi, key, loss_fn, settings.temperature, **common)
  return value, context.memory


def _reinforce(
  settings: Any,
  phi: PyTree,
  key: PRNGKey,
  loss_fn: Any,
  context: base.Context,
  common: dict[str, Any],
) -> tuple[Array, PyTree]:
  """The score-function estimate against the average of past losses."""
  memory = context.memory
  value, aux = estimators.reinforce_surrogate(
    phi, key, loss_fn, memory["baseline"], **common
  )
  drawn = jnp.asarray(aux.loss_one_hot)
  moved = estimators.update_baseline(
    memory["baseline"], drawn, decay=settings.baseline_decay
  )
  # The average begins with the first loss, not with 0.
  first = jax.lax.stop_gradient(jnp.mean(drawn))
  return value, {
    **memory,
    "baseline": jnp.where(memory["has_baseline"], moved, first),
    "has_baseline": jnp.ones((), bool),
  }


def _loss(settings: Any, weights: CellWeights, losses: base.Losses) -> Array:
  """Loss of the network, `[]` or `[B]` where each image has its own."""
  if settings.objective == "gap":
    return objectives.generalization_gap_loss(
      losses.train(weights),
      losses.valid(weights),
      gap_weight=settings.gap_weight,
      gap=settings.gap,
      absolute=settings.absolute_gap,
    )
  of = losses.valid if settings.objective == "valid" else losses.train
  values = of(weights)
  return values if settings.per_example else jnp.mean(values)


def _penalty(settings: Any, selectors: Any) -> Array:
  """The weight times the duplicates of all cell types, `[]` or `[B]`.

  With a joint loss of the whole batch it is the batch's mean.
  """
  if settings.cell == "edges" or not settings.duplicate_weight:
    return jnp.zeros(())
  total = settings.duplicate_weight * sum(
    factorized.duplicates(cell) for cell in selectors.values()
  )
  is_joint = settings.objective == "gap" and settings.gap == "batch"
  return jnp.mean(total) if is_joint else jnp.asarray(total)
