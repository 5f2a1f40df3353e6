"""UNAS's distribution of architectures: what is drawn from, what is read off.

Source: UNAS (arXiv:1912.07651), Sec. 4.1; SPEC 2.6.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnas.functional import categorical, factorized
from jnas.spaces import Space
from jnas.types import ArchParams, Array, CellWeights, PyTree


class Choices(NamedTuple):
  """The distribution of architectures.

  Attributes:
    phi: logits that are drawn from.
    mask: booleans like them, False where an edge has no such operation.
    weights: maps selectors, one-hot or relaxed, to mixing weights.
  """

  phi: PyTree
  mask: PyTree
  weights: Callable[[Any], CellWeights]


def make(settings: Any, arch: ArchParams, space: Space) -> Choices:
  """The distribution that logits stand for.

  Args:
    settings: UNAS's.
    arch: logits, those of `unas.init`.
    space: the search space.
  """
  phi = arch
  if settings.softening:
    phi = jax.tree.map(
      lambda leaf: categorical.soften(leaf, floor=settings.softening), arch
    )
  is_factorized = settings.cell == "factorized"
  return Choices(
    phi=phi,
    mask=_mask(space, is_factorized=is_factorized),
    weights=_pair_weights if is_factorized else lambda selectors: selectors,
  )


def expected(arch: ArchParams, mask: PyTree) -> PyTree:
  """The probability of each choice, without softening."""
  return jax.tree.map(
    lambda leaf, allowed: jax.nn.softmax(
      jnp.where(allowed, leaf, -jnp.inf), axis=-1
    ),
    arch,
    mask,
  )


def strongest(arch: ArchParams, mask: PyTree) -> PyTree:
  """The likeliest choice of each factor, one-hot."""

  def choose(leaf: Array, allowed: Array) -> Array:
    index = jnp.argmax(jnp.where(allowed, leaf, -jnp.inf), axis=-1)
    return jax.nn.one_hot(index, leaf.shape[-1], dtype=leaf.dtype)

  return jax.tree.map(choose, arch, mask)


def _pair_weights(selectors: Any) -> CellWeights:
  return {
    cell_type: factorized.cell_weights(cell)
    for cell_type, cell in selectors.items()
  }


def _mask(space: Space, *, is_factorized: bool) -> PyTree:
  if not is_factorized:
    return {name: jnp.asarray(space.mask(name)) for name in space.cell_types}
  shapes = factorized.uniform_logits(
    num_inputs=space.num_inputs,
    num_nodes=space.num_nodes,
    num_ops=space.num_ops,
  )
  mask = jax.tree.map(lambda leaf: np.ones(leaf.shape, bool), shapes)
  return {name: mask for name in space.cell_types}
