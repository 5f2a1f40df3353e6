"""Random search with shared weights: a new random cell at every step.

The best of many random cells is picked by selection, `selection.name sampled`.

Source: Li and Talwalkar (arXiv:1902.07638), Sec. 4; SPEC 3.10.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jnas.methods import base
from jnas.spaces import Space
from jnas.types import ArchParams, CellWeights, PRNGKey


@dataclasses.dataclass(frozen=True)
class Settings:
  """Random search with shared weights leaves nothing open."""


def init(settings: Settings, key: PRNGKey, space: Space) -> ArchParams:
  """Zeros, `[E, K]` for each cell type: there is nothing to train."""
  del settings
  return base.initial_logits(key, space, scale=0.0)


def probs(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """Every operation of an edge alike."""
  del settings, arch
  weights = {}
  for cell_type in context.space.cell_types:
    mask = jnp.asarray(context.space.mask(cell_type), jnp.float32)
    weights[cell_type] = mask / jnp.sum(mask, axis=-1, keepdims=True)
  return weights


def mix(
  settings: Settings, arch: ArchParams, key: PRNGKey, context: base.Context
) -> CellWeights:
  """The weights of a cell drawn uniformly, zeros and ones.

  Each node takes distinct edges and an operation on each, as a derived cell
  does: the strongest of uniform noise are uniform.

  Args:
    settings: the method's.
    arch: not used.
    key: consumed.
    context: the space.

  Returns:
    `[E, K]` of each cell type.
  """
  del settings, arch
  space = context.space
  noise = {}
  for index, cell_type in enumerate(space.cell_types):
    op_key, edge_key = jax.random.split(jax.random.fold_in(key, index))
    shape = space.mask(cell_type).shape
    # The largest of an edge's noise says which operation; the edge's own,
    # added to all of them, says which edges.
    op_ek = jax.random.uniform(op_key, shape)
    edge_e = jax.random.uniform(edge_key, shape[:1])
    allowed = base.allowed(space, cell_type)
    largest_e = jnp.max(
      jnp.where(allowed, op_ek, -jnp.inf), axis=-1, keepdims=True
    )
    noise[cell_type] = jnp.where(op_ek == largest_e, 2 + edge_e[:, None], op_ek)
  return base.strongest_connections(noise, space)


def decide(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """A cell drawn anew each epoch: without selection, nothing is preferred."""
  key = jax.random.fold_in(jax.random.key(0), context.progress.epoch)
  return mix(settings, arch, key, context)


RANDOM_SHARING = base.Method(
  settings=Settings,
  init=init,
  mix=mix,
  probs=probs,
  selector="threshold",
  schemes=("frozen",),
  decide=decide,
)
