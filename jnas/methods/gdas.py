"""GDAS: one operation drawn on each edge, the gradient of its relaxation.

Source: GDAS (arXiv:1910.04465), Sec. 3.2.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jnas.functional import gumbel, mixing, schedules
from jnas.methods import base
from jnas.spaces import Space
from jnas.types import ArchParams, CellWeights, PRNGKey


@dataclasses.dataclass(frozen=True)
class Settings:
  """What GDAS leaves open.

  Attributes:
    init_scale: standard deviation of the initial logits.
    temperature: of the samples in the first epoch, above 0.
    temperature_end: of the samples after the last epoch, above 0.
  """

  init_scale: float = 1e-3
  temperature: float = 10.0
  temperature_end: float = 0.1

  def __post_init__(self):
    """Refuses settings without meaning."""
    if self.init_scale < 0:
      raise ValueError(f"init_scale {self.init_scale}: must be 0 or more")
    for name in ("temperature", "temperature_end"):
      if not getattr(self, name) > 0:
        raise ValueError(f"{name} {getattr(self, name)}: must be above 0")


def init(settings: Settings, key: PRNGKey, space: Space) -> ArchParams:
  """Logits near 0, `[E, K]` for each cell type; the key is consumed."""
  return base.initial_logits(key, space, scale=settings.init_scale)


def probs(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """Probability of each operation of each edge."""
  del settings
  return {
    cell_type: mixing.softmax_weights(
      arch[cell_type],
      jnp.asarray(context.space.mask(cell_type)),
      temperature=1.0,
    )
    for cell_type in context.space.cell_types
  }


def mix(
  settings: Settings, arch: ArchParams, key: PRNGKey, context: base.Context
) -> CellWeights:
  """One-hot weights with the gradient of the relaxed sample.

  Source: GDAS, Eqs. (3) to (5).

  Args:
    settings: the method's.
    arch: logits of each cell type.
    key: consumed.
    context: space and progress.

  Returns:
    `[E, K]` zeros and ones of each cell type.
  """
  heat = schedules.linear(
    context.progress.epoch,
    start=settings.temperature,
    end=settings.temperature_end,
    num_epochs=context.progress.num_epochs,
  )
  weights = {}
  for index, cell_type in enumerate(context.space.cell_types):
    sample = gumbel.sample_concrete(
      jax.random.fold_in(key, index),
      arch[cell_type],
      heat,
      mask=jnp.asarray(context.space.mask(cell_type)),
    )
    weights[cell_type] = gumbel.straight_through(sample.zeta, sample.z)
  return weights


GDAS = base.Method(
  settings=Settings, init=init, mix=mix, probs=probs, selector="magnitude"
)
