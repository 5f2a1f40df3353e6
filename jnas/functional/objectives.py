"""Losses: scalars or per-example values to minimise."""

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
