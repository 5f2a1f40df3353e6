"""DARTS: continuous relaxation by a softmax on every edge, bilevel search.

Source: DARTS (arXiv:1806.09055), Sec. 2; SPEC 3.1.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jnas.functional import mixing, schedules
from jnas.methods import base
from jnas.spaces import Space
from jnas.types import ArchParams, Array, CellWeights, PRNGKey, Progress


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
  keys = jax.random.split(key, len(space.cell_types))
  shape = (len(space.edges), space.num_ops)
  return {
    cell_type: settings.init_scale * jax.random.normal(cell_key, shape)
    for cell_type, cell_key in zip(space.cell_types, keys, strict=True)
  }


def probs(
  settings: Settings, arch: ArchParams, space: Space, progress: Progress
) -> CellWeights:
  """Softmax of the logits of each edge.

  Source: DARTS, Eq. (2).
  """
  temperature = schedules.exponential(
    progress.epoch,
    start=settings.temperature,
    decay=settings.temperature_decay,
  )
  return {
    cell_type: mixing.softmax_weights(
      arch[cell_type],
      jnp.asarray(space.mask(cell_type)),
      temperature=temperature,
    )
    for cell_type in space.cell_types
  }


def mix(
  settings: Settings,
  arch: ArchParams,
  key: PRNGKey,
  space: Space,
  progress: Progress,
) -> CellWeights:
  """Mixing weights of a step: the probabilities themselves, nothing drawn."""
  del key
  return probs(settings, arch, space, progress)


def arch_objective(
  settings: Settings,
  arch: ArchParams,
  key: PRNGKey,
  space: Space,
  progress: Progress,
  loss_fn: Callable[[CellWeights], Array],
) -> Array:
  """Validation loss at the current weights; its gradient is first order.

  Source: DARTS, Eq. (7) with xi = 0.

  Args:
    settings: the method's.
    arch: logits of each cell type.
    key: consumed.
    space: the search space.
    progress: how far the search has come.
    loss_fn: mixing weights to the mean loss of a validation batch.

  Returns:
    `[]` the loss.
  """
  return loss_fn(mix(settings, arch, key, space, progress))


DARTS = base.Method(
  settings=Settings,
  init=init,
  mix=mix,
  arch_objective=arch_objective,
  probs=probs,
  selector="magnitude",
)
