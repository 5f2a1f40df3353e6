"""SDARTS-RS: mixing weights under random noise.

Weights trained under it make the loss flatter around the architecture.

Source: SDARTS (arXiv:2002.05283), Sec. 3, random smoothing; SPEC 3.7.
"""

from collections.abc import Sequence
from typing import Any, Literal

import chex
import jax
import jax.numpy as jnp

from jnas.functional import gumbel, numerics
from jnas.types import Array, PRNGKey

Noise = Literal["uniform", "gaussian"]


def perturb_weights(
  key: PRNGKey,
  weights_ek: Array,
  *,
  epsilon: Array | float,
  noise: Noise,
  mask: Array | None = None,
) -> Array:
  """Mixing weights plus random noise, brought back to the simplex.

  Source: SDARTS, random smoothing; SPEC 3.7.
  Choice: uniform noise as in the SDARTS paper and the code of both; the PT
  paper calls it Gaussian, which is the other setting.

  Args:
    key: consumed.
    weights_ek: `[E, K]` mixing weights.
    epsilon: half the range of uniform noise, or the standard deviation.
    noise: its law.
    mask: `[E, K]` booleans, True where the operation exists; None if all do.

  Returns:
    `[E, K]` weights.
  """
  draw_ek = draw_noise(key, weights_ek.shape, weights_ek.dtype, noise=noise)
  return add_noise(weights_ek, epsilon * draw_ek, mask=mask)


def draw_noise(
  key: PRNGKey, shape: Sequence[int], dtype: Any, *, noise: Noise
) -> Array:
  """Noise of unit size: uniform in -1..1 or standard normal.

  Args:
    key: consumed.
    shape: of the result.
    dtype: a float.
    noise: its law.

  Raises:
    ValueError: for an unknown law.
  """
  if noise == "uniform":
    return jax.random.uniform(key, tuple(shape), dtype, -1.0, 1.0)
  if noise == "gaussian":
    return jax.random.normal(key, tuple(shape), dtype)
  raise ValueError(f"noise {noise!r}: must be 'uniform' or 'gaussian'")


def add_noise(
  weights_ek: Array, noise_ek: Array, *, mask: Array | None = None
) -> Array:
  """Weights plus given noise, clipped to 0..1, rows summing to 1 again.

  A row that is clipped to nothing gets 1 at its former largest entry.

  Source: SPEC 3.7.
  Choice: a row that was all zeros (a discarded edge) stays so; rows that are
  one-hot (a decided edge) are perturbed like the others, as in the code.

  Args:
    weights_ek: `[..., E, K]` mixing weights.
    noise_ek: `[..., E, K]` noise.
    mask: `[..., E, K]` booleans, True where the operation exists; None if all
      do. No noise is added elsewhere.

  Returns:
    `[..., E, K]` weights.
  """
  chex.assert_equal_shape([weights_ek, noise_ek])
  mask_ek = jnp.ones(weights_ek.shape, bool) if mask is None else mask
  noisy_ek = jnp.clip(weights_ek + noise_ek, 0, 1)
  noisy_ek = jnp.where(mask_ek, noisy_ek, 0)
  total_e = jnp.sum(noisy_ek, axis=-1, keepdims=True)
  share_ek = numerics.safe_divide(noisy_ek, total_e)
  former_ek = gumbel.harden(weights_ek, mask=mask_ek)
  alive_e = jnp.any(weights_ek > 0, axis=-1, keepdims=True)
  return jnp.where(alive_e, jnp.where(total_e > 0, share_ek, former_ek), 0)
