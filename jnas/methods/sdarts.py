"""SDARTS-RS: weights are trained under randomly perturbed mixing weights.

Source: SDARTS (arXiv:2002.05283), Sec. 3; SPEC 3.7.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from jnas.functional import perturb, schedules
from jnas.methods import base, darts
from jnas.types import ArchParams, Array, CellWeights, PRNGKey, PyTree


@dataclasses.dataclass(frozen=True)
class Settings(darts.Settings):
  """What SDARTS-RS leaves open, beside what DARTS does.

  Attributes:
    epsilon: size of the noise in the first epoch.
    epsilon_end: size of the noise after the last epoch.
    noise: its law.
  """

  epsilon: float = 0.03
  epsilon_end: float = 0.3
  noise: Literal["uniform", "gaussian"] = "uniform"

  def __post_init__(self):
    """Refuses settings without meaning."""
    super().__post_init__()
    for name in ("epsilon", "epsilon_end"):
      if not getattr(self, name) >= 0:
        raise ValueError(f"{name} {getattr(self, name)}: must be 0 or more")


def mix(
  settings: Settings, arch: ArchParams, key: PRNGKey, context: base.Context
) -> CellWeights:
  """The probabilities under noise, back on the simplex.

  Source: SDARTS, Eq. (8); SPEC 3.7.

  Args:
    settings: the method's.
    arch: logits of each cell type.
    key: consumed.
    context: space and progress.

  Returns:
    `[E, K]` weights of each cell type.
  """
  epsilon = schedules.linear(
    context.progress.epoch,
    start=settings.epsilon,
    end=settings.epsilon_end,
    num_epochs=context.progress.num_epochs,
  )
  return {
    cell_type: perturb.perturb_weights(
      jax.random.fold_in(key, index),
      weights_ek,
      epsilon=epsilon,
      noise=settings.noise,
      mask=jnp.asarray(context.space.mask(cell_type)),
    )
    for index, (cell_type, weights_ek) in enumerate(
      darts.probs(settings, arch, context).items()
    )
  }


def arch_objective(
  settings: Settings,
  arch: ArchParams,
  key: PRNGKey,
  context: base.Context,
  losses: base.Losses,
) -> tuple[Array, PyTree]:
  """Validation loss without noise; its gradient is first order.

  Source: SDARTS, Eq. (7): only the weights are trained under noise.

  Args:
    settings: the method's.
    arch: logits of each cell type.
    key: not used.
    context: space and progress.
    losses: of the network.

  Returns:
    `[]` the loss, and the memory as it was.
  """
  del key
  weights = darts.probs(settings, arch, context)
  return jnp.mean(losses.valid(weights)), context.memory


SDARTS_RS = base.Method(
  settings=Settings,
  init=darts.init,
  mix=mix,
  probs=darts.probs,
  selector="magnitude",
  schemes=("bilevel", "second_order", "frozen"),
  arch_objective=arch_objective,
  authors=darts.DARTS.authors,
)
