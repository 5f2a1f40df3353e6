"""SNAS's resource cost: parameters, multiply-adds and memory accesses.

A table `[..., E, K, 3]` holds the resources of each operation on each edge;
leading axes are the cells of a type, which share one sample but differ in
channels and resolution. The cost of an architecture is the sum over its edges
of the combined resources, the mean over the cells.

Each estimator returns a scalar whose gradient with respect to the logits is
the estimate of the expected cost's, and whose value is the cost.

Source: SNAS (arXiv:1812.09926), Sec. 2.4, Eqs. (35)-(40); SPEC 3.3.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jnas.functional import gumbel, mixing
from jnas.types import Array

# Resources `[..., 3]` of an edge to its cost `[...]`.
Combine = Callable[[Array], Array]


class Resources(NamedTuple):
  """What one operation takes for one image; a row of the table.

  Attributes:
    params: trained numbers.
    flops: multiply-adds.
    mac: memory accesses, in elements read and written.
  """

  params: int = 0
  flops: int = 0
  mac: int = 0

  def plus(self, *others: "Resources") -> "Resources":
    """The resources of several layers together."""
    return Resources(*map(sum, zip(self, *others, strict=True)))


def conv_resources(
  height: int,
  width: int,
  *,
  kernel: tuple[int, int],
  in_channels: int,
  out_channels: int,
  groups: int,
) -> Resources:
  """Resources of one convolution.

  Source: SNAS, Eqs. (35)-(40).

  Args:
    height: of the output.
    width: of the output.
    kernel: (height, width).
    in_channels: a multiple of `groups`.
    out_channels: a multiple of `groups`.
    groups: `in_channels` if depthwise, else 1.

  Raises:
    ValueError: if the channels do not divide into the groups.
  """
  if in_channels % groups or out_channels % groups:
    raise ValueError(
      f"{in_channels} and {out_channels} channels do not divide into "
      f"{groups} groups"
    )
  params = kernel[0] * kernel[1] * in_channels * out_channels // groups
  return Resources(
    params=params,
    flops=height * width * params,
    mac=height * width * (in_channels + out_channels) + params,
  )


def pool_resources(
  height: int,
  width: int,
  *,
  kernel: tuple[int, int],
  channels: int,
  literal: bool,
) -> Resources:
  """Resources of a pool that keeps the number of channels.

  Source: SNAS, Eqs. (35)-(40).
  Deviation: the printed FLOPs are those of a dense convolution; a pool works
  on one channel at a time and is counted so unless `literal`.

  Args:
    height: of the output.
    width: of the output.
    kernel: (height, width).
    channels: of input and output.
    literal: whether to count as printed.
  """
  taps = kernel[0] * kernel[1] * (channels if literal else 1)
  return Resources(
    flops=height * width * taps * channels,
    mac=height * width * 2 * channels,
  )


def skip_resources(height: int, width: int, *, channels: int) -> Resources:
  """Resources of an identity: what it reads and writes.

  Source: SNAS, Eqs. (35)-(40).

  Args:
    height: of the output.
    width: of the output.
    channels: of input and output.
  """
  return Resources(mac=height * width * 2 * channels)


def linear_penalty(resources: Array) -> Array:
  """A weighted sum of the three resources.

  Choice: the paper does not say how the three are combined; these factors are
  those of the authors' code. `log_penalty` is the other form.

  Args:
    resources: `[..., 3]` parameters, FLOPs, memory accesses.

  Returns:
    `[...]` costs.
  """
  chex.assert_axis_dimension(resources, -1, 3)
  params, flops, mac = jnp.moveaxis(resources, -1, 0)
  return 0.43 * (2 * params + flops / 4000 + mac / 100)


def log_penalty(resources: Array) -> Array:
  """Mean of the logarithms of the three resources, each at least 1.

  A resource below 1 counts as 1 and passes no gradient.

  Choice: as in the authors' code and its published command; the alternative
  is `linear_penalty`.

  Args:
    resources: `[..., 3]` parameters, FLOPs, memory accesses.

  Returns:
    `[...]` costs.
  """
  chex.assert_axis_dimension(resources, -1, 3)
  return jnp.mean(jnp.log(jnp.where(resources > 1, resources, 1)), axis=-1)


def edge_costs(
  weights_ek: Array, resources_ekr: Array, *, combine: Combine
) -> Array:
  """Cost of each edge under mixing weights, the mean over the cells.

  The resources of an edge are summed over its operations first and combined
  afterwards, which matters where `combine` is not linear.

  Source: SNAS, Sec. 2.4: C(Z) = sum over edges of Z^T c.

  Args:
    weights_ek: `[E, K]` mixing weights; 0 where an operation does not exist.
    resources_ekr: `[..., E, K, R]` table of finite numbers.
    combine: `[..., R]` resources of an edge to `[...]`.

  Returns:
    `[E]` costs.
  """
  chex.assert_rank(weights_ek, 2)
  chex.assert_axis_dimension(resources_ekr, -3, weights_ek.shape[0])
  chex.assert_axis_dimension(resources_ekr, -2, weights_ek.shape[1])
  cost = combine(jnp.einsum("ek,...ekr->...er", weights_ek, resources_ekr))
  return jnp.mean(cost, axis=tuple(range(cost.ndim - 1)))


def analytic_cost(
  logits_ek: Array,
  resources_ekr: Array,
  *,
  combine: Combine,
  mask: Array | None = None,
) -> Array:
  """Expected cost of a one-hot sample, exact where `combine` is linear.

  Source: SPEC 3.3, `analytic`; the authors' "discrete". The paper calls the
  expectation non-trivial; for one-hot samples it is this sum.

  Args:
    logits_ek: `[E, K]` log alpha.
    resources_ekr: `[..., E, K, R]` table.
    combine: `[..., R]` resources of an edge to `[...]`.
    mask: `[E, K]` booleans, True where the operation exists; None if all do.

  Returns:
    `[]` cost.
  """
  mask_ek = jnp.ones(logits_ek.shape, bool) if mask is None else mask
  probs_ek = mixing.softmax_weights(logits_ek, mask_ek, temperature=1.0)
  return jnp.sum(edge_costs(probs_ek, resources_ekr, combine=combine))


def reparam_cost(
  relaxed_ek: Array, resources_ekr: Array, *, combine: Combine
) -> Array:
  """Cost of a concrete sample, differentiated through the sample.

  Source: SPEC 3.3, `reparam`; the authors' published command.

  Args:
    relaxed_ek: `[E, K]` concrete sample, differentiable in the logits.
    resources_ekr: `[..., E, K, R]` table.
    combine: `[..., R]` resources of an edge to `[...]`.

  Returns:
    `[]` cost.
  """
  return jnp.sum(edge_costs(relaxed_ek, resources_ekr, combine=combine))


def policy_gradient_cost(
  logits_ek: Array,
  gumbels_ek: Array,
  temperature: Array | float,
  resources_ekr: Array,
  *,
  combine: Combine,
  mean_baseline: bool,
  mask: Array | None = None,
) -> Array:
  """Cost of a concrete sample, differentiated by the score function.

  Each edge's score is multiplied by its own cost only: the cost is a sum over
  independent edges, so the others' part has mean 0.

  Source: SNAS, Sec. 2.4, Monte Carlo with policy gradients.
  Choice: `mean_baseline` subtracts the mean cost of the edges, an option of
  the authors' code. The mean contains the edge's own cost, which scales the
  expected gradient by 1 - 1/E; 0 on a cell of one edge.

  Args:
    logits_ek: `[E, K]` log alpha.
    gumbels_ek: `[E, K]` the noise of the sample.
    temperature: scalar above 0.
    resources_ekr: `[..., E, K, R]` table.
    combine: `[..., R]` resources of an edge to `[...]`.
    mean_baseline: whether to subtract the mean cost of the edges.
    mask: `[E, K]` booleans, True where the operation exists; None if all do.

  Returns:
    `[]` cost.
  """
  log_relaxed_ek = jax.lax.stop_gradient(
    gumbel.log_relax(logits_ek, gumbels_ek, temperature, mask=mask)
  )
  log_density_e = gumbel.log_density(
    log_relaxed_ek, logits_ek, temperature, mask=mask
  )
  # A cost is a reward: what is reinforced is a constant.
  cost_e = edge_costs(jnp.exp(log_relaxed_ek), resources_ekr, combine=combine)
  credit_e = cost_e - jnp.mean(cost_e) if mean_baseline else cost_e
  score_e = log_density_e - jax.lax.stop_gradient(log_density_e)  # value 0
  return jnp.sum(cost_e + credit_e * score_e)
