"""UNAS's loss of latency: measured at discrete architectures alone.

Source: UNAS, Sec. 3.1, Eq. (5), and Appendix E.1; SPEC 3.9, "surrogate g".
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jnas.functional import (
  categorical,
  control_variate,
  estimators,
  objectives,
  surrogate,
)
from jnas.methods import base
from jnas.methods.unas_choices import Choices
from jnas.types import Array, CellWeights, PRNGKey, PyTree


def init_memory() -> PyTree:
  """Architecture steps done, and the last measured latency in milliseconds."""
  return {
    "latency_steps": jnp.zeros((), jnp.int32),
    "measured_ms": jnp.zeros(()),
  }


def remember(memory: PyTree, milliseconds: Array) -> PyTree:
  """The memory with the latency of the architecture that comes next."""
  return {**memory, "measured_ms": milliseconds}


def sample(key: PRNGKey, choices: Choices) -> CellWeights:
  """The discrete architecture that `loss` draws with the same key.

  It is another than that of the losses of the images.

  Source: SPEC 3.9: a separate sample for the latency term.
  """
  noise = control_variate.draw_noise(
    _latency_key(key), choices.phi, coupled=True, num_samples=None
  )
  draw = categorical.draw(choices.phi, noise.gumbel, mask=choices.mask)
  return choices.weights(draw.one_hot)


def loss(
  settings: Any, key: PRNGKey, choices: Choices, context: base.Context
) -> tuple[Array, PyTree]:
  """Scalar whose gradient estimates that of the expected latency loss.

  Source: UNAS, Eq. (5), with the hinge of Appendix E.1.
  Choice: the weight grows with the steps of the architecture, which waits
  while the weights are warmed up; SPEC 3.9 says steps.
  Choice: a measured latency comes from before the step. Measured inside it, by
  a callback, the device would be busy with the step, and several processes
  could not agree on a number; `estimators.relax_surrogate` takes either.

  Args:
    settings: UNAS's.
    key: of the step; not consumed.
    choices: of architectures.
    context: memory and models of the latency.

  Returns:
    `[]` the surrogate, and the memory.
  """
  memory = context.memory
  if context.latency is None:
    raise ValueError("latency_table is set, but the context has no latency")
  latency = context.latency
  hinge = _hinge(settings, memory["latency_steps"])

  def measured(selectors: Any) -> Array:
    if settings.latency_measure == "device":
      return hinge(memory["measured_ms"])
    return hinge(surrogate.predict(latency.table, choices.weights(selectors)))

  def predicted(selectors: Any) -> Array:
    weights = choices.weights(selectors)
    return hinge(surrogate.predict(latency.surrogate, weights))

  key, temperature = _latency_key(key), settings.temperature
  if settings.latency_estimator == "gumbel_softmax":
    value, _ = estimators.gs_surrogate(
      choices.phi, key, predicted, temperature, mask=choices.mask
    )
  else:
    value, _ = estimators.relax_surrogate(
      choices.phi,
      key,
      measured,
      predicted,
      temperature=temperature,
      mask=choices.mask,
    )
  return value, {**memory, "latency_steps": memory["latency_steps"] + 1}


def _hinge(settings: Any, steps: Array) -> Callable[[Array], Array]:
  weight = settings.latency_weight
  if settings.latency_ramp:
    weight *= jnp.minimum(steps / settings.latency_ramp, 1.0)
  return lambda latency: objectives.latency_hinge(
    latency, target=settings.latency_target, latency_weight=weight
  )


def _latency_key(key: PRNGKey) -> PRNGKey:
  return jax.random.fold_in(key, 1)
