"""What a network drops at random while it trains."""

import jax
import jax.numpy as jnp

from jnas.types import Array, PRNGKey


def drop_paths(key: PRNGKey, x: Array, rate: Array) -> Array:
  """Drops each edge of each example with probability `rate`, and rescales.

  Source: FractalNet, as used by DARTS, Sec. 3.2; SPEC 2.2.

  Args:
    key: consumed.
    x: `[T, B, H, W, C]`.
    rate: `[]` in [0, 1).
  """
  kept = jax.random.bernoulli(key, 1 - rate, x.shape[:2])
  scale = kept.astype(x.dtype) / (1 - rate).astype(x.dtype)
  return x * scale[:, :, None, None, None]


def drop_elements(key: PRNGKey, x: Array, rate: Array) -> Array:
  """Drops each element with probability `rate`, and rescales.

  Source: P-DARTS (arXiv:1904.12760), Sec. 3.3, dropout after skips.

  Args:
    key: consumed.
    x: of any shape.
    rate: `[]` in [0, 1).
  """
  kept = jax.random.bernoulli(key, 1 - rate, x.shape)
  return x * kept.astype(x.dtype) / (1 - rate).astype(x.dtype)


def edge_scales(
  key: PRNGKey, rate: Array, *, batch: int, num_edges: int
) -> Array:
  """Factors `[B, E]` that drop whole edges of a supernet's cell.

  They multiply the mixing weights, which is to drop the edges' outputs.

  Source: SPEC 6, D4.

  Args:
    key: consumed.
    rate: `[]` in [0, 1), probability of dropping an edge for an example.
    batch: B.
    num_edges: E.
  """
  kept = jax.random.bernoulli(key, 1 - rate, (batch, num_edges))
  return kept.astype(jnp.float32) / (1 - rate)
