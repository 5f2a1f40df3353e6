"""Exact expectations over discrete choices, by listing all of them.

For spaces small enough to list; what every estimator is judged by.

Source: SPEC 4.3, E1: the expectation and its gradient that UNAS, Eqs. (1)-(5),
estimate.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jnas.functional import categorical
from jnas.functional.control_variate import LossFn
from jnas.types import Array, PyTree

# Beyond this the list itself is gigabytes.
LARGEST_SPACE = 1_000_000


def one_hot_choices(phi_tree: PyTree, *, mask: PyTree | None = None) -> PyTree:
  """Every combination of one choice for each categorical.

  Args:
    phi_tree: leaves `[..., K]` of logits, for their shapes.
    mask: booleans like phi_tree, True where an entry exists; all, if None. Not
      traced.

  Returns:
    Leaves `[A, ..., K]`, one-hot; the last categorical changes fastest.

  Raises:
    ValueError: if there are more combinations than `LARGEST_SPACE`.
  """
  leaves, structure = jax.tree.flatten(phi_tree)
  masks = structure.flatten_up_to(categorical.full_mask(phi_tree, mask))
  options = [
    np.flatnonzero(row)
    for exists in masks
    for row in np.asarray(exists).reshape(-1, exists.shape[-1])
  ]
  total = math.prod(len(choices) for choices in options)
  if total > LARGEST_SPACE:
    raise ValueError(
      f"{total} combinations; at most {LARGEST_SPACE} can be listed"
    )
  grid = np.meshgrid(*options, indexing="ij")
  index = np.stack([axis.reshape(-1) for axis in grid], axis=-1)  # [A, factors]
  one_hots, start = [], 0
  for leaf in leaves:
    factors = math.prod(leaf.shape[:-1])
    chosen = index[:, start : start + factors].reshape(-1, *leaf.shape[:-1])
    one_hots.append(jax.nn.one_hot(chosen, leaf.shape[-1], dtype=leaf.dtype))
    start += factors
  return jax.tree.unflatten(structure, one_hots)


def expected_loss(
  phi_tree: PyTree, loss_fn: LossFn, *, mask: PyTree | None = None
) -> Array:
  """E[loss(z)] with z drawn from the logits, exactly; differentiable in them.

  Source: UNAS, Sec. 2, the objective E_p(z)[L(z)]; SPEC 4.3, E1.

  Args:
    phi_tree: leaves `[..., K]` of logits.
    loss_fn: one-hot leaves `[A, ..., K]` -> `[A]` losses, not differentiated.
    mask: booleans like phi_tree, True where an entry exists; all, if None.

  Returns:
    `[]`.
  """
  one_hot = one_hot_choices(phi_tree, mask=mask)
  probs = jnp.exp(categorical.log_prob(phi_tree, one_hot, mask=mask))
  losses = jax.lax.stop_gradient(loss_fn(one_hot))
  if losses.shape != probs.shape:
    raise ValueError(
      f"losses of shape {losses.shape}; one for each of the "
      f"{probs.shape[0]} combinations is needed"
    )
  return jnp.sum(probs * losses)


def exact_gradient(
  phi_tree: PyTree, loss_fn: LossFn, *, mask: PyTree | None = None
) -> PyTree:
  """Gradient of `expected_loss` in the logits.

  Source: SPEC 4.3, E1.

  Args:
    phi_tree: leaves `[..., K]` of logits.
    loss_fn: one-hot leaves `[A, ..., K]` -> `[A]` losses.
    mask: booleans like phi_tree, True where an entry exists; all, if None.

  Returns:
    Leaves `[..., K]`.
  """
  return jax.grad(lambda phi: expected_loss(phi, loss_fn, mask=mask))(phi_tree)
