"""A linear model of a measured cost, such as latency, of discrete choices.

UNAS trains it on randomly drawn architectures before the search, as the
surrogate g of the RELAX estimator: g(z) = sum of l_ij z_ij + b.

Source: UNAS, Sec. 3.1 and Sec. 5; SPEC 3.9, "surrogate g".
"""

import math
import operator
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import jax.scipy.linalg

from jnas.types import Array, PyTree


class LinearModel(NamedTuple):
  """A linear function of a pytree of weights.

  Attributes:
    coefficients: a pytree like one example's weights, the cost of each choice.
    bias: `[]`.
  """

  coefficients: PyTree
  bias: Array


def fit(weights: PyTree, cost_n: Array, *, ridge: float) -> LinearModel:
  """Ridge regression of costs on weights, the bias regularised too.

  Minimises |X w + b - y|^2 + ridge (|w|^2 + b^2).

  Source: UNAS, Sec. 5, L2 regression on 10,000 networks.
  Choice: ridge 1 and a regularised bias, as in the authors' code (SPEC D26).

  Args:
    weights: leaves `[N, ...]`, one-hot in UNAS; one array serves as well.
    cost_n: `[N]` measured costs.
    ridge: above 0; without it one-hot choices leave the bias undetermined.

  Returns:
    The model, its coefficients of the leaves' shapes less the first axis.
  """
  chex.assert_rank(cost_n, 1)
  leaves, structure = jax.tree.flatten(weights)
  chex.assert_equal_shape_prefix([cost_n, *leaves], 1)
  columns = [leaf.reshape(leaf.shape[0], -1) for leaf in leaves]
  x_nf = jnp.concatenate([*columns, jnp.ones_like(cost_n)[:, None]], axis=-1)
  with jax.default_matmul_precision("highest"):
    normal_ff = x_nf.T @ x_nf + ridge * jnp.eye(x_nf.shape[1])
    solution_f = jax.scipy.linalg.solve(
      normal_ff, x_nf.T @ cost_n, assume_a="pos"
    )
  coefficients, start = [], 0
  for leaf in leaves:
    size = math.prod(leaf.shape[1:])
    part = solution_f[start : start + size]
    coefficients.append(part.reshape(leaf.shape[1:]))
    start += size
  return LinearModel(
    coefficients=jax.tree.unflatten(structure, coefficients),
    bias=solution_f[-1],
  )


def predict(model: LinearModel, weights: PyTree) -> Array:
  """The model's cost of weights, one-hot or relaxed; differentiable in them.

  Source: UNAS, Sec. 5: g(z) = sum of l_ij z_ij, and a bias.

  Args:
    model: a fitted model.
    weights: a pytree like its coefficients, with any leading axes.

  Returns:
    `[...]`, the leading axes.
  """

  def of_leaf(coefficient: Array, weight: Array) -> Array:
    axes = tuple(range(-coefficient.ndim, 0))
    return jnp.sum(
      weight * jnp.broadcast_to(coefficient, weight.shape), axis=axes
    )

  parts = jax.tree.map(of_leaf, model.coefficients, weights)
  return jax.tree.reduce(operator.add, parts) + model.bias
