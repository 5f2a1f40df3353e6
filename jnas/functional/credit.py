"""Credit that SNAS assigns to edges and operations.

Source: SNAS (arXiv:1812.09926), Eqs. (7), (8); SPEC 3.3.
"""

import chex
import jax.numpy as jnp

from jnas.types import Array


def snas_credit(grad_ek: Array, weights_ek: Array) -> tuple[Array, Array]:
  """Credit of each edge and of each operation for the loss of a sample.

  The credit of operation k is -<dL/dx_j, O^k(x_i)>. The gradient of the loss
  with respect to its mixing weight is that inner product, so nothing else of
  the network is needed. Credit above 0 says that more of it lowers the loss.

  Source: SNAS, Eq. (8).

  Args:
    grad_ek: `[..., E, K]` gradient of the loss in the mixing weights.
    weights_ek: `[..., E, K]` the mixing weights, Z in the paper.

  Returns:
    `[..., E]` credit of the edges, R_ij, and `[..., E, K]` of the operations.
    An edge's credit is the weighted sum of its operations'.
  """
  chex.assert_equal_shape([grad_ek, weights_ek])
  credit_ek = -grad_ek
  return jnp.sum(weights_ek * credit_ek, axis=-1), credit_ek
