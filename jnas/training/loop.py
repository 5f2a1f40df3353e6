"""The loop over steps: dispatch, wait for the step before, call back.

What happens in order is read here on one screen; what a step does, and when
to save, is the caller's.
"""

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

import jax

from jnas.types import Array

State = TypeVar("State")
Batches = TypeVar("Batches")


class NonFiniteError(FloatingPointError):
  """A loss became NaN or infinite."""


def run_steps(
  state: State,
  batches: Iterable[Batches],
  *,
  advance: Callable[[State, Batches], tuple[State, Array]],
  after_step: Callable[[State, int, float], None],
  first_step: int,
) -> State:
  """Runs one step for each element of `batches`.

  Step t + 1 is dispatched before the loss of step t is fetched.

  Args:
    state: pytree of arrays, donated to the first step.
    batches: what each step reads.
    advance: `(state, batch) -> (state, loss [])`.
    after_step: called as `(state, steps done, loss of the step before)`; it
      may save the state, and may raise to stop.
    first_step: steps done before this call.

  Returns:
    The state after the last step.

  Raises:
    NonFiniteError: naming the step whose loss is not finite.
  """
  pending: Array | None = None
  step = first_step
  for step, batch in enumerate(batches, start=first_step + 1):
    state, loss = advance(state, batch)
    if pending is not None:
      after_step(state, step, _fetch(pending, step - 1))
    pending = loss
  if pending is not None:
    after_step(state, step, _fetch(pending, step))
  return state


def _fetch(loss: Array, step: int) -> float:
  value = float(jax.device_get(loss))
  if not math.isfinite(value):
    raise NonFiniteError(f"the loss of step {step} is {value}")
  return value
