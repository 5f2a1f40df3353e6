"""Learning rates, temperatures and ramps as functions of the epoch."""

import jax.numpy as jnp

from jnas.types import Array


def cosine(
  epoch: Array, *, start: float, end: float, num_epochs: Array | int
) -> Array:
  """Half a cosine from `start` at epoch 0 to `end` at epoch `num_epochs`.

  Source: SPEC 3.0: end + (start - end)(1 + cos(pi e / epochs)) / 2; UNAS,
  SPEC 3.9: rate of the weights 6e-4 to 1e-4, of phi 2e-3 to 3e-4.

  Args:
    epoch: `[]` epochs done, may be fractional.
    start: value at epoch 0.
    end: value at epoch `num_epochs`.
    num_epochs: above 0.

  Returns:
    `[]` float32.
  """
  share = jnp.asarray(epoch, jnp.float32) / num_epochs
  return end + (start - end) * (1 + jnp.cos(jnp.pi * share)) / 2


def linear(
  epoch: Array, *, start: float, end: float, num_epochs: Array | int
) -> Array:
  """Straight line from `start` at epoch 0 to `end` at epoch `num_epochs`.

  Source: DARTS, Sec. 3.2: the probability of drop-path grows linearly; SNAS,
  SPEC 3.3: temperature 1 to 0.03 in 150 epochs; SDARTS-RS, SPEC 3.7: noise
  0.03 to 0.3.

  Args:
    epoch: `[]` epochs done, may be fractional.
    start: value at epoch 0.
    end: value at epoch `num_epochs`.
    num_epochs: above 0.

  Returns:
    `[]` float32.
  """
  share = jnp.asarray(epoch, jnp.float32) / num_epochs
  return start + (end - start) * share


def ramp(
  step: Array, *, start: float, end: float, num_steps: Array | int
) -> Array:
  """`linear` up to `num_steps`, `end` from there on.

  Source: UNAS, SPEC 3.9: weight of the latency 0 to 0.1 in 30,000 steps.

  Args:
    step: `[]` steps or epochs done.
    start: value at step 0.
    end: value at `num_steps` and after.
    num_steps: above 0.

  Returns:
    `[]` float32.
  """
  done = jnp.minimum(jnp.asarray(step, jnp.float32), num_steps)
  return linear(done, start=start, end=end, num_epochs=num_steps)


def exponential(epoch: Array, *, start: float, decay: float) -> Array:
  """`start * decay ** epoch`.

  Source: EnTranNAS, Sec. 4.1: temperature 5.0 * 0.923^e; DARTS on ImageNet:
  learning rate 0.1 * 0.97^e.

  Args:
    epoch: `[]` epochs done.
    start: value at epoch 0.
    decay: factor an epoch, above 0.

  Returns:
    `[]` float32.
  """
  return start * jnp.power(decay, jnp.asarray(epoch, jnp.float32))


def polynomial(
  step: Array, *, start: float, power: float, num_steps: Array | int
) -> Array:
  """`start * (1 - step / num_steps) ** power`, 0 at the end.

  Source: DeepLabV3 (arXiv:1706.05587), Sec. 4.1: the "poly" learning rate,
  power 0.9.

  Args:
    step: `[]` steps done, at most `num_steps`.
    start: value at step 0.
    power: above 0.
    num_steps: above 0.

  Returns:
    `[]` float32.
  """
  left = 1 - jnp.asarray(step, jnp.float32) / num_steps
  return start * jnp.power(jnp.maximum(left, 0), power)
