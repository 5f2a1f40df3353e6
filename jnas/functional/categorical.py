"""Draws from independent categoricals held in a pytree of logits.

Every leaf is `[..., K]`: one categorical over the last axis for each position
of the other axes. A draw is a pytree of the same structure, one-hot or relaxed
to the simplex, with leading axes of its own where several are drawn at once.

Source: UNAS, Sec. 2 and 3; SPEC 3.2 and 3.9.
"""

import operator
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jnas.functional import conditional, numerics
from jnas.types import Array, PRNGKey, PyTree


class Draw(NamedTuple):
  """Samples of every categorical, before relaxation. Leaves `[*S, ..., K]`.

  Attributes:
    log_p: log-probabilities, repeated along the sample axes; -inf if masked.
    perturbed: log_p plus Gumbel noise, -inf where masked.
    one_hot: the entry of `perturbed` that is largest; constant.
    log_prob: `[*S]` log-probability of the whole one-hot sample.
  """

  log_p: PyTree
  perturbed: PyTree
  one_hot: PyTree
  log_prob: Array


def draw_gumbels(
  key: PRNGKey, phi_tree: PyTree, *, num_samples: int | None = None
) -> PyTree:
  """Standard Gumbel noise for each entry of each leaf.

  Source: SPEC 3.2.

  Args:
    key: consumed.
    phi_tree: leaves `[..., K]` of logits.
    num_samples: S; None draws once, without a sample axis.

  Returns:
    Leaves `[..., K]`, or `[S, ..., K]`.
  """
  leaves, structure = jax.tree.flatten(phi_tree)
  samples = () if num_samples is None else (num_samples,)
  noise = [
    jax.random.gumbel(leaf_key, (*samples, *leaf.shape), leaf.dtype)
    for leaf_key, leaf in zip(
      jax.random.split(key, len(leaves)), leaves, strict=True
    )
  ]
  return jax.tree.unflatten(structure, noise)


def draw(phi_tree: PyTree, gumbels: PyTree, *, mask: PyTree = None) -> Draw:
  """The sample that this noise makes.

  Source: SPEC 3.2: y = log p + g, z = onehot(argmax y).

  Args:
    phi_tree: leaves `[..., K]` of logits.
    gumbels: leaves `[*S, ..., K]` of standard Gumbel noise.
    mask: booleans like phi_tree, True where an entry exists; all, if None.

  Returns:
    The sample and its log-probability.
  """
  mask = full_mask(phi_tree, mask)
  log_p = jax.tree.map(
    lambda phi, noise, exists: jnp.broadcast_to(
      conditional.log_probabilities(phi, mask=exists), noise.shape
    ),
    phi_tree,
    gumbels,
    mask,
  )
  perturbed = jax.tree.map(operator.add, log_p, gumbels)
  one_hot = jax.tree.map(_strongest, perturbed)
  return Draw(
    log_p=log_p,
    perturbed=perturbed,
    one_hot=one_hot,
    log_prob=log_prob(phi_tree, one_hot, mask=mask),
  )


def relax(
  perturbed: PyTree, *, temperature: Array | float, mask: PyTree = None
) -> PyTree:
  """Points on the simplex: softmax of perturbed log-probabilities.

  Source: UNAS, Sec. 3.1, Gumbel-Softmax; SPEC 3.2: zeta = softmax(y / T).

  Args:
    perturbed: leaves `[..., K]`.
    temperature: scalar above 0.
    mask: booleans, leaves `[..., K]` of which axes may be missing in front,
      True where an entry exists; all, if None.

  Returns:
    Leaves `[..., K]`, rows summing to 1 and 0 where masked.
  """
  return jax.tree.map(
    lambda y, exists: numerics.masked_softmax(
      y / temperature, jnp.broadcast_to(exists, y.shape)
    ),
    perturbed,
    full_mask(perturbed, mask),
  )


def log_prob(
  phi_tree: PyTree, one_hot: PyTree, *, mask: PyTree = None
) -> Array:
  """Log-probability of one-hot samples: a sum over all categoricals.

  Source: UNAS, Sec. 4.1, the product of p(i) p(i') p(o) p(o'); SPEC 3.9.

  Args:
    phi_tree: leaves `[..., K]` of logits.
    one_hot: leaves `[*S, ..., K]`; a row of zeros counts as nothing drawn.
    mask: booleans like phi_tree, True where an entry exists; all, if None.

  Returns:
    `[*S]`.
  """

  def of_leaf(phi: Array, sample: Array, exists: Array) -> Array:
    log_p = conditional.log_probabilities(phi, mask=exists)
    # 0 log 0 = 0, also in the gradient.
    safe = jnp.broadcast_to(jnp.where(exists, log_p, 0), sample.shape)
    return jnp.sum(sample * safe, axis=tuple(range(-phi.ndim, 0)))

  mask = full_mask(phi_tree, mask)
  terms = jax.tree.map(of_leaf, phi_tree, one_hot, mask)
  return jax.tree.reduce(operator.add, terms)


def soften(logits: Array, *, floor: float, mask: Array | None = None) -> Array:
  """Logits of probabilities that are raised by `floor` and scaled back.

  Bounds the probabilities of K entries to floor / (1 + K floor) from below.

  Source: SPEC D24: log(softmax(phi) + 0.08), in the authors' code of UNAS on
  ImageNet; not in the paper.

  Args:
    logits: `[..., K]` unnormalised log-probabilities.
    floor: above 0; 0.08 in that code.
    mask: `[..., K]` booleans, True where the entry exists; all, if None. The
      sample's mask is still needed: a masked entry's logit is finite here.

  Returns:
    `[..., K]` unnormalised log-probabilities.
  """
  probs = numerics.masked_softmax(logits, full_mask(logits, mask))
  return jnp.log(probs + floor)


def full_mask(tree: PyTree, mask: PyTree | None) -> PyTree:
  """The mask itself, or one that allows every entry of a pytree of arrays.

  Args:
    tree: leaves `[..., K]`.
    mask: booleans of the tree's structure, or None.

  Returns:
    Booleans of the tree's structure.
  """
  if mask is None:
    return jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), tree)
  chex.assert_trees_all_equal_structs(tree, mask)
  return mask


def _strongest(perturbed: Array) -> Array:
  """One-hot of the largest entry; zeros in a row where every entry is -inf."""
  index = jnp.argmax(perturbed, axis=-1)
  one_hot = jax.nn.one_hot(index, perturbed.shape[-1], dtype=perturbed.dtype)
  return jnp.where(perturbed > -jnp.inf, one_hot, 0)
