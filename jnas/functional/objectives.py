"""Losses: scalars or per-example values to minimise."""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from jnas.types import Array


def cross_entropy(
  logits_bc: Array, labels_b: Array, *, label_smoothing: float
) -> Array:
  """Cross-entropy of each example, in nats.

  Source: DARTS, Sec. 3 (label smoothing 0.1 on ImageNet, else 0).

  Args:
    logits_bc: `[B, classes]`.
    labels_b: `[B]` integers.
    label_smoothing: share of the target spread evenly over the classes, 0..1.

  Returns:
    `[B]` losses.
  """
  chex.assert_rank([logits_bc, labels_b], [2, 1])
  chex.assert_type(labels_b, int)
  log_p_bc = jax.nn.log_softmax(logits_bc, axis=-1)
  picked_b = jnp.take_along_axis(log_p_bc, labels_b[:, None], axis=-1)[:, 0]
  spread_b = jnp.mean(log_p_bc, axis=-1)
  return -(1 - label_smoothing) * picked_b - label_smoothing * spread_b


def generalization_gap_loss(
  train_loss: Array,
  val_loss: Array,
  *,
  gap_weight: Array | float,
  gap: Literal["batch", "per_example"],
  absolute: bool,
) -> Array:
  """Training loss plus a weight times how far validation is from it.

  Source: UNAS, Eq. (8), L_train + lambda |L_val - L_train|, and footnote 2 for
  the form without the absolute value.
  Choice: "batch" is the equation, the gap of two batch means of one
  architecture; "per_example" pairs the b-th examples, as the authors' code
  does, where each example has an architecture of its own (SPEC D17).

  Args:
    train_loss: `[..., B]` losses of the training examples.
    val_loss: `[..., B]` losses of the validation examples, of the same
      architectures and weights; for "batch" their number may differ.
    gap_weight: lambda; 0.5 in UNAS.
    gap: "batch" or "per_example".
    absolute: whether the absolute value is taken.

  Returns:
    `[...]` for "batch", `[..., B]` for "per_example".

  Raises:
    ValueError: for another name of the gap.
  """
  chex.assert_equal_shape_prefix([train_loss, val_loss], train_loss.ndim - 1)
  if gap == "batch":
    train_loss = jnp.mean(train_loss, axis=-1)
    val_loss = jnp.mean(val_loss, axis=-1)
  elif gap != "per_example":
    raise ValueError(f"gap is {gap!r}; it must be 'batch' or 'per_example'")
  chex.assert_equal_shape([train_loss, val_loss])
  difference = val_loss - train_loss
  return train_loss + gap_weight * (
    jnp.abs(difference) if absolute else difference
  )


def latency_hinge(
  latency: Array, *, target: Array | float, latency_weight: Array | float
) -> Array:
  """Weight times the latency above a target; nothing below it.

  Source: UNAS, Appendix E.1: f(u) = max(0, u) of latency - t_target.

  Args:
    latency: any shape, measured or predicted.
    target: in the same unit.
    latency_weight: at least 0; 0 to 0.1 in UNAS.

  Returns:
    The latency's shape; the slope at the target is 0.
  """
  return latency_weight * jax.nn.relu(latency - target)
