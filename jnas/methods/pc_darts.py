"""PC-DARTS: weights of edges beside those of operations.

Its partial channels are a setting of the supernet, `supernet.partial_channels`.

Source: PC-DARTS (arXiv:1907.05737), Secs. 3.2 and 3.3.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jnas.functional import mixing, numerics
from jnas.methods import base
from jnas.spaces import Space
from jnas.types import ArchParams, Array, CellWeights, PRNGKey


@dataclasses.dataclass(frozen=True)
class Settings:
  """What PC-DARTS leaves open.

  Attributes:
    init_scale: standard deviation of the initial logits.
    edge_normalization: whether edges have weights of their own.
  """

  init_scale: float = 1e-3
  edge_normalization: bool = True

  def __post_init__(self):
    """Refuses settings without meaning."""
    if self.init_scale < 0:
      raise ValueError(f"init_scale {self.init_scale}: must be 0 or more")


def init(settings: Settings, key: PRNGKey, space: Space) -> ArchParams:
  """Logits near 0: of operations `[E, K]` and of edges `[E]`.

  Args:
    settings: the method's.
    key: consumed.
    space: the search space.
  """
  op_key, edge_key = jax.random.split(key)
  arch = {"ops": base.initial_logits(op_key, space, scale=settings.init_scale)}
  if settings.edge_normalization:
    rows = base.initial_logits(edge_key, space, scale=settings.init_scale)
    arch["edges"] = {name: row[:, 0] for name, row in rows.items()}
  return arch


def edge_weights(
  settings: Settings, arch: ArchParams, space: Space
) -> dict[str, Array]:
  """Softmax of the edges into each node, `[E]` for each cell type.

  Ones without edge normalisation.

  Source: PC-DARTS, Eq. (3).
  """
  into = jnp.asarray([target for _, target in space.edges])
  same_ee = into[:, None] == into[None, :]
  weights = {}
  for cell_type in space.cell_types:
    if not settings.edge_normalization:
      weights[cell_type] = jnp.ones(len(space.edges))
      continue
    logits_ee = jnp.broadcast_to(arch["edges"][cell_type][None], same_ee.shape)
    weights[cell_type] = jnp.diagonal(
      numerics.masked_softmax(logits_ee, same_ee)
    )
  return weights


def probs(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """Weights of operations times weights of edges.

  Source: PC-DARTS, Sec. 3.3: the two are multiplied, also for derivation.
  """
  space = context.space
  edges = edge_weights(settings, arch, space)
  return {
    cell_type: edges[cell_type][:, None]
    * mixing.softmax_weights(
      arch["ops"][cell_type],
      jnp.asarray(space.mask(cell_type)),
      temperature=1.0,
    )
    for cell_type in space.cell_types
  }


def mix(
  settings: Settings, arch: ArchParams, key: PRNGKey, context: base.Context
) -> CellWeights:
  """Mixing weights of a step: `probs`, nothing drawn."""
  del key
  return probs(settings, arch, context)


PC_DARTS = base.Method(
  settings=Settings, init=init, mix=mix, probs=probs, selector="magnitude"
)
