"""SNAS: a concrete sample of the architecture, trained in a single level.

Source: SNAS (arXiv:1812.09926), Secs. 2.2 to 2.4; SPEC 3.3.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from jnas.functional import costs, gumbel, mixing, schedules
from jnas.methods import base
from jnas.spaces import Space
from jnas.types import ArchParams, Array, CellWeights, PRNGKey, PyTree

# Weight of the cost at each level, for `reparam` and `log_penalty`.
# Choice: the paper gives none (SPEC 7, U1); a level is judged by its effect.
LEVELS = {"none": 0.0, "mild": 1.5e-3, "moderate": 4e-3, "aggressive": 1e-2}
# Largest weight, of either sign, that reaching a target may give the cost.
_LARGEST_WEIGHT = 1.0


@dataclasses.dataclass(frozen=True)
class Settings:
  """What SNAS leaves open.

  Attributes:
    init_scale: standard deviation of the initial logits.
    temperature: of the samples in the first epoch, above 0.
    temperature_end: of the samples after the last epoch, above 0.
    per_example: whether each image has a sample of its own instead of one for
      the global batch.
    level: of the resource cost, by name; sets `cost_weight`, `estimator` and
      `log_penalty`.
    cost_weight: of the resource cost; 0 for no cost.
    estimator: of the expected cost's gradient.
    log_penalty: whether the three resources are combined by their logarithms
      instead of linearly.
    mean_baseline: whether the policy gradient subtracts the mean edge's cost.
    target_params: parameters of the derived network that the cost's weight
      adapts to; 0 for a constant weight.
    target_madds: the same for multiply-adds; not both.
    target_gain: weight of the cost for each part by which the derived network
      differs from the target.
  """

  init_scale: float = 1e-3
  temperature: float = 1.0
  temperature_end: float = 0.03
  per_example: bool = False
  level: Literal["none", "mild", "moderate", "aggressive"] = "none"
  cost_weight: float = 0.0
  estimator: Literal["policy_gradient", "reparam", "analytic"] = (
    "policy_gradient"
  )
  log_penalty: bool = True
  mean_baseline: bool = False
  target_params: float = 0.0
  target_madds: float = 0.0
  target_gain: float = 2.0

  def __post_init__(self):
    """Refuses settings without meaning."""
    for name in ("temperature", "temperature_end", "target_gain"):
      if not getattr(self, name) > 0:
        raise ValueError(f"{name} {getattr(self, name)}: must be above 0")
    for name in (
      "init_scale",
      "cost_weight",
      "target_params",
      "target_madds",
    ):
      if not getattr(self, name) >= 0:
        raise ValueError(f"{name} {getattr(self, name)}: must be 0 or more")
    ways = {
      "level": self.level != "none",
      "cost_weight": self.cost_weight > 0,
      "target_params": self.target_params > 0,
      "target_madds": self.target_madds > 0,
    }
    if sum(ways.values()) > 1:
      given = ", ".join(name for name, is_set in ways.items() if is_set)
      raise ValueError(
        f"{given} are all set: each decides the weight of the cost; set one of "
        f"{', '.join(ways)}"
      )

  @property
  def has_target(self) -> bool:
    """Whether the weight of the cost adapts to a target."""
    return self.target_params > 0 or self.target_madds > 0

  @property
  def estimate(self) -> str:
    """How the expected cost's gradient is estimated."""
    return self.estimator if self.level == "none" else "reparam"

  @property
  def combine(self) -> Callable[[Array], Array]:
    """How the three resources make one cost."""
    logarithmic = self.log_penalty or self.level != "none"
    return costs.log_penalty if logarithmic else costs.linear_penalty


def init(settings: Settings, key: PRNGKey, space: Space) -> ArchParams:
  """Logits log alpha near 0, `[E, K]` for each cell type.

  Source: SPEC 6, D36: any constant shift of a row changes nothing.

  Args:
    settings: the method's.
    key: consumed.
    space: the search space.
  """
  return base.initial_logits(key, space, scale=settings.init_scale)


def temperature(settings: Settings, context: base.Context) -> Array:
  """Temperature of the present epoch, `[]`.

  Choice: the paper anneals "steadily" and gives no schedule; linear, as in the
  authors' code.
  """
  return schedules.linear(
    context.progress.epoch,
    start=settings.temperature,
    end=settings.temperature_end,
    num_epochs=context.progress.num_epochs,
  )


def probs(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """Probability of each operation of each edge.

  Source: SNAS, Sec. 2.1: p(Z), fully factorised.
  """
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
  """A concrete sample for each cell type, which its cells share.

  Source: SNAS, Eq. (5).

  Args:
    settings: the method's.
    arch: log alpha of each cell type.
    key: consumed.
    context: space and progress.

  Returns:
    `[E, K]`, or `[B, E, K]` where each image has its own.
  """
  heat = temperature(settings, context)
  return {
    cell_type: gumbel.relax(
      *_perturb(settings, arch, key, context, cell_type), heat, mask=mask
    )
    for cell_type, mask in _masks(settings, context).items()
  }


def penalty(
  settings: Settings,
  arch: ArchParams,
  key: PRNGKey,
  context: base.Context,
  weights: CellWeights,
) -> Array:
  """The resource cost of the sample, weighted.

  Its gradient in the logits is the estimator that the settings name.

  Source: SNAS, Eqs. (9) to (12); SPEC 3.3, "Three estimators".

  Args:
    settings: the method's.
    arch: log alpha of each cell type.
    key: the one that `mix` drew `weights` with.
    context: space, progress, memory and costs.
    weights: the sample.

  Returns:
    `[]` eta times the mean cost of a cell, summed over the cell types.
  """
  weight = _cost_weight(settings, context.memory)
  if weight is None:
    return jnp.zeros(())
  heat = temperature(settings, context)
  total = jnp.zeros(())
  for cell_type, mask in _masks(settings, context).items():
    table = jnp.asarray(context.resources[cell_type], jnp.float32)
    if settings.estimate == "analytic":
      total += costs.analytic_cost(
        arch[cell_type],
        table,
        combine=settings.combine,
        mask=jnp.asarray(context.space.mask(cell_type)),
      )
      continue
    drawn = _perturb(settings, arch, key, context, cell_type)

    def cost(sample, logits, gumbels, mask, table=table):
      if settings.estimate == "reparam":
        return costs.reparam_cost(sample, table, combine=settings.combine)
      return costs.policy_gradient_cost(
        logits,
        gumbels,
        heat,
        table,
        combine=settings.combine,
        mean_baseline=settings.mean_baseline,
        mask=mask,
      )

    if settings.per_example:
      cost = jax.vmap(cost)
    total += jnp.mean(cost(weights[cell_type], *drawn, mask))
  return weight * total


def init_memory(settings: Settings, space: Space) -> PyTree:
  """The weight of the cost, where it adapts to a target."""
  del space
  return {"cost_weight": jnp.zeros(())} if settings.has_target else {}


def after_step(
  settings: Settings, arch: ArchParams, context: base.Context
) -> PyTree:
  """Adapts the weight of the cost to how far the target is.

  The weight is proportional to the share by which the network that would be
  derived now exceeds the target; it is negative, a reward, where the network
  is too small.

  Choice: the paper tunes eta by hand for each level.
  """
  if not settings.has_target:
    return context.memory
  excess = derived_sizes(arch, context)[_which(settings)] / _target(settings)
  weight = settings.target_gain * (excess - 1)
  weight = jnp.clip(weight, -_LARGEST_WEIGHT, _LARGEST_WEIGHT)
  return {"cost_weight": weight.astype(jnp.float32)}


def derived_sizes(arch: ArchParams, context: base.Context) -> Array:
  """Parameters and multiply-adds of the network that would be derived, `[2]`.

  Args:
    arch: log alpha of each cell type.
    context: space and sizes.
  """
  total = jnp.asarray(context.sizes.base, jnp.float32)
  for cell_type, logits in arch.items():
    chosen = gumbel.harden(
      logits, mask=jnp.asarray(context.space.mask(cell_type))
    )
    table = jnp.asarray(context.sizes.edges[cell_type], jnp.float32)
    total += jnp.einsum("ek,ekr->r", chosen, table)
  return total


def report(
  settings: Settings, arch: ArchParams, context: base.Context
) -> dict[str, Array]:
  """Temperature, weight of the cost, and the derived network's size."""
  weight = _cost_weight(settings, context.memory)
  params, madds = derived_sizes(arch, context)
  return {
    "temperature": temperature(settings, context),
    "cost_weight": jnp.zeros(()) if weight is None else jnp.asarray(weight),
    "derived_params": params,
    "derived_madds": madds,
  }


def _cost_weight(settings: Settings, memory: PyTree) -> Array | float | None:
  """The weight of the cost, None for no cost."""
  if settings.has_target:
    return memory["cost_weight"]
  return LEVELS[settings.level] or settings.cost_weight or None


def _which(settings: Settings) -> int:
  return 0 if settings.target_params > 0 else 1


def _target(settings: Settings) -> float:
  return settings.target_params or settings.target_madds


def _masks(settings: Settings, context: base.Context) -> dict[str, Array]:
  """`[E, K]` or `[B, E, K]` booleans of each cell type."""
  masks = {}
  for cell_type in context.space.cell_types:
    mask = jnp.asarray(context.space.mask(cell_type))
    if settings.per_example:
      mask = jnp.broadcast_to(mask, (context.batch_size, *mask.shape))
    masks[cell_type] = mask
  return masks


def _perturb(
  settings: Settings,
  arch: ArchParams,
  key: PRNGKey,
  context: base.Context,
  cell_type: str,
) -> tuple[Array, Array]:
  """Logits and the noise of a sample, the same whenever the key is."""
  index = context.space.cell_types.index(cell_type)
  logits = arch[cell_type]
  if settings.per_example:
    logits = jnp.broadcast_to(logits, (context.batch_size, *logits.shape))
  noise = gumbel.gumbel_noise(
    jax.random.fold_in(key, index), logits.shape, jnp.float32
  )
  return logits, noise


SNAS = base.Method(
  settings=Settings,
  init=init,
  mix=mix,
  probs=probs,
  selector="argmax",
  schemes=("single_level", "bilevel", "frozen"),
  penalty=penalty,
  init_memory=init_memory,
  after_step=after_step,
  report=report,
  authors={
    "search.lr_min": 0.001,
    "search.lr_first_epoch": 1,
    "evaluate.pool_norm": True,
    "search.drop_path": 0.3,
    "search.arch_clip_norm": 10.0,
    "method.settings.estimator": "reparam",
  },
)
