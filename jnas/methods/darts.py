"""DARTS: continuous relaxation by a softmax on every edge, bilevel search.

Source: DARTS (arXiv:1806.09055), Sec. 2; SPEC 3.1.
"""

import dataclasses

import jax.numpy as jnp

from jnas.functional import mixing, schedules
from jnas.methods import base
from jnas.spaces import Space
from jnas.types import ArchParams, CellWeights, PRNGKey


@dataclasses.dataclass(frozen=True)
class Settings:
  """What DARTS leaves open.

  Attributes:
    init_scale: standard deviation of the initial logits.
    temperature: of the softmax in the first epoch, above 0.
    temperature_decay: factor on the temperature each epoch, above 0.
  """

  init_scale: float = 1e-3
  temperature: float = 1.0
  temperature_decay: float = 1.0

  def __post_init__(self):
    """Refuses settings without meaning."""
    if self.init_scale < 0:
      raise ValueError(f"init_scale {self.init_scale}: must be 0 or more")
    for name in ("temperature", "temperature_decay"):
      if not getattr(self, name) > 0:
        raise ValueError(f"{name} {getattr(self, name)}: must be above 0")


def init(settings: Settings, key: PRNGKey, space: Space) -> ArchParams:
  """Logits near 0, `[E, K]` for each cell type.

  Source: SPEC 3.0: 1e-3 N(0, 1).

  Args:
    settings: the method's.
    key: consumed.
    space: the search space.
  """
  return base.initial_logits(key, space, scale=settings.init_scale)


def probs(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """Softmax of the logits of each edge.

  Source: DARTS, Eq. (2); EnTranNAS, Eq. (5) for the temperature.
  """
  temperature = schedules.exponential(
    context.progress.epoch,
    start=settings.temperature,
    decay=settings.temperature_decay,
  )
  return {
    cell_type: mixing.softmax_weights(
      arch[cell_type],
      jnp.asarray(context.space.mask(cell_type)),
      temperature=temperature,
    )
    for cell_type in context.space.cell_types
  }


def mix(
  settings: Settings, arch: ArchParams, key: PRNGKey, context: base.Context
) -> CellWeights:
  """Mixing weights of a step: the probabilities themselves, nothing drawn."""
  del key
  return probs(settings, arch, context)


DARTS = base.Method(
  settings=Settings,
  init=init,
  mix=mix,
  probs=probs,
  selector="magnitude",
  authors={
    "search.lr_min": 0.001,
    "search.lr_first_epoch": 1,
    "search.arch_moves_statistics": True,
  },
)
