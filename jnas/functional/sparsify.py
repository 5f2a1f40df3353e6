"""EnTranNAS-DST: connections that a trained threshold switches off.

Source: EnTranNAS (arXiv:2101.11342), Sec. 3.3; SPEC 3.5.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jnas.functional import numerics
from jnas.types import Array

# At most this threshold: sigmoid(beta) rounds to 1 in float32 for beta > 17,
# and then not even a node's strongest connection would survive.
MAX_THRESHOLD = 1 - 1e-6


class Sparsity(NamedTuple):
  """What led to the sparse weights.

  Attributes:
    probs_ek: `[E, K]` softmax of the logits, Eq. (5).
    relative_ek: `[E, K]` the same over the node's largest, Eq. (7).
    threshold_n: `[N]` threshold of each node, in (0, 1).
    active_ek: `[E, K]` booleans, the connections that survive, Eq. (10).
  """

  probs_ek: Array
  relative_ek: Array
  threshold_n: Array
  active_ek: Array


def dst_weights(
  logits_ek: Array,
  beta_n: Array,
  temperature: Array | float,
  node_of_edge: Array,
  *,
  mask: Array | None = None,
  stop_gradient_max: bool = False,
) -> tuple[Array, Sparsity]:
  """Mixing weights in which weak connections are exactly 0.

  A node's strongest connection always survives. The weights of an edge with
  any surviving connection sum to 1, those of the others are 0 and pass no
  gradient.

  Source: EnTranNAS, Eqs. (5), (7)-(9).
  Choice: the paper does not say whether the maximum of Eq. (7) is
  differentiated; it is here, as written, unless `stop_gradient_max`. Tied
  maxima share the gradient equally.

  Args:
    logits_ek: `[E, K]` architecture parameters.
    beta_n: `[N]` threshold parameters, one for each intermediate node.
    temperature: scalar above 0, tau.
    node_of_edge: `[E]` integers in 0..N-1, the intermediate node that the
      edge enters.
    mask: `[E, K]` booleans, True where the operation exists; None if all do.
    stop_gradient_max: whether the maximum counts as a constant.

  Returns:
    `[E, K]` weights, and what led to them.
  """
  chex.assert_rank([logits_ek, beta_n, node_of_edge], [2, 1, 1])
  chex.assert_type([logits_ek, beta_n, node_of_edge], [float, float, int])
  mask_ek = jnp.ones(logits_ek.shape, bool) if mask is None else mask
  log_p_ek = numerics.masked_log_softmax(logits_ek / temperature, mask_ek)
  largest_n = _largest_of_node(log_p_ek, node_of_edge, beta_n.shape[0])
  if stop_gradient_max:
    largest_n = jax.lax.stop_gradient(largest_n)
  # A difference of logarithms: exactly 1 at the maximum, without gradient.
  relative_ek = jnp.exp(log_p_ek - largest_n[node_of_edge][:, None])  # Eq. (7)
  threshold_n = jnp.minimum(jax.nn.sigmoid(beta_n), MAX_THRESHOLD)
  # relu passes no gradient at 0: a connection at the threshold is cut.
  kept_ek = jax.nn.relu(
    relative_ek - threshold_n[node_of_edge][:, None]
  )  # Eq. (8)
  weights_ek = numerics.normalize_rows(kept_ek)  # Eq. (9)
  sparsity = Sparsity(
    jnp.exp(log_p_ek), relative_ek, threshold_n, weights_ek > 0
  )
  return weights_ek, sparsity


def threshold_penalty(beta_n: Array) -> Array:
  """Mean of -log(threshold) over the nodes of a cell; it raises thresholds.

  Source: EnTranNAS, Eq. (11), without lambda; -log(sigmoid) is a softplus.
  Choice: the mean is over the nodes of one cell type; add up the types.

  Args:
    beta_n: `[N]` threshold parameters.

  Returns:
    `[]` penalty above 0.
  """
  chex.assert_rank(beta_n, 1)
  return jnp.mean(jax.nn.softplus(-beta_n))


def _largest_of_node(
  log_p_ek: Array, node_of_edge: Array, num_nodes: int
) -> Array:
  """`[N]` largest log-probability into each node, finite without any edge."""
  enters_ne = node_of_edge[None, :] == jnp.arange(num_nodes)[:, None]
  least = jnp.finfo(log_p_ek.dtype).min
  log_p_nek = jnp.where(enters_ne[:, :, None], log_p_ek[None], least)
  return jnp.max(log_p_nek, axis=(1, 2))
