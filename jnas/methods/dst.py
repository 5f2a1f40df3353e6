"""EnTranNAS-DST: thresholds decide how many connections a node keeps.

Source: EnTranNAS (arXiv:2101.11342), Sec. 3.3; SPEC 3.5.
"""

import dataclasses

import jax.numpy as jnp

from jnas.functional import schedules, sparsify
from jnas.methods import base, darts
from jnas.spaces import NONE, Space
from jnas.types import ArchParams, Array, CellWeights, PRNGKey


@dataclasses.dataclass(frozen=True)
class Settings(darts.Settings):
  """What EnTranNAS-DST leaves open.

  Attributes:
    threshold_init: beta of every node at the start; its sigmoid is the
      threshold.
    sparsity_weight: lambda, of the penalty that raises the thresholds.
    stop_gradient_max: whether a node's largest probability counts as a
      constant for the gradient.
  """

  temperature: float = 5.0
  temperature_decay: float = 0.923
  threshold_init: float = 0.0
  sparsity_weight: float = 0.1
  stop_gradient_max: bool = False

  def __post_init__(self):
    """Refuses settings without meaning."""
    super().__post_init__()
    if not self.sparsity_weight >= 0:
      raise ValueError(
        f"sparsity_weight {self.sparsity_weight}: must be 0 or more"
      )


def init(settings: Settings, key: PRNGKey, space: Space) -> ArchParams:
  """Logits `[E, K]` and threshold parameters `[N]` of each cell type.

  Choice: beta starts at 0, a threshold of 0.5 that leaves every connection
  active (SPEC 7, U8).

  Args:
    settings: the method's.
    key: consumed.
    space: the search space.
  """
  start = jnp.full(space.num_nodes, settings.threshold_init, jnp.float32)
  return {
    "alpha": base.initial_logits(key, space, scale=settings.init_scale),
    "beta": {cell_type: start for cell_type in space.cell_types},
  }


def probs(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """Sparse mixing weights: 0 where a connection is below its threshold.

  Source: EnTranNAS, Eqs. (5), (7) to (9).

  Args:
    settings: the method's.
    arch: "alpha" and "beta" of each cell type.
    context: space and progress.

  Returns:
    `[E, K]` weights of each cell type; an edge's sum is 1, or 0 where nothing
    of it is left.
  """
  space = context.space
  temperature = schedules.exponential(
    context.progress.epoch,
    start=settings.temperature,
    decay=settings.temperature_decay,
  )
  nodes = jnp.asarray([target - space.num_inputs for _, target in space.edges])
  return {
    cell_type: sparsify.dst_weights(
      arch["alpha"][cell_type],
      arch["beta"][cell_type],
      temperature,
      nodes,
      mask=jnp.asarray(space.mask(cell_type)),
      stop_gradient_max=settings.stop_gradient_max,
    )[0]
    for cell_type in space.cell_types
  }


def mix(
  settings: Settings, arch: ArchParams, key: PRNGKey, context: base.Context
) -> CellWeights:
  """Mixing weights of a step: `probs`, nothing drawn."""
  del key
  return probs(settings, arch, context)


def penalty(
  settings: Settings,
  arch: ArchParams,
  key: PRNGKey,
  context: base.Context,
  weights: CellWeights,
) -> Array:
  """Lambda times the mean of -log(threshold), summed over the cell types.

  Source: EnTranNAS, Eq. (11); SPEC 7, U6 for the sum.

  Args:
    settings: the method's.
    arch: "alpha" and "beta" of each cell type.
    key: not used.
    context: the space.
    weights: not used.

  Returns:
    `[]` penalty.
  """
  del key, weights
  return settings.sparsity_weight * sum(
    (
      sparsify.threshold_penalty(arch["beta"][cell_type])
      for cell_type in context.space.cell_types
    ),
    jnp.zeros(()),
  )


def transit(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """The connections that are left, unweighted.

  Source: EnTranNAS, Eq. (10).
  """
  return {
    cell_type: (weights_ek > 0).astype(jnp.float32)
    for cell_type, weights_ek in probs(settings, arch, context).items()
  }


def report(
  settings: Settings, arch: ArchParams, context: base.Context
) -> dict[str, Array]:
  """Temperature, and connections and mean threshold of each cell type."""
  found = {
    "temperature": schedules.exponential(
      context.progress.epoch,
      start=settings.temperature,
      decay=settings.temperature_decay,
    )
  }
  for cell_type, active_ek in transit(settings, arch, context).items():
    beta_n = arch["beta"][cell_type]
    found[f"connections_{cell_type}"] = jnp.sum(active_ek).astype(jnp.int32)
    found[f"threshold_{cell_type}"] = jnp.mean(
      jnp.minimum(1 / (1 + jnp.exp(-beta_n)), sparsify.MAX_THRESHOLD)
    )
  return found


def check_space(space: Space) -> None:
  """Refuses a space with `none`: a threshold removes connections already.

  Raises:
    ValueError: naming the space.
  """
  if NONE in space.op_names:
    raise ValueError(
      f"method 'entrannas_dst' removes connections by thresholds, so it takes "
      f"a space without {NONE!r}; space {space.name!r} has it: use, for "
      "example, 'darts_no_none'"
    )


DST = base.Method(
  settings=Settings,
  init=init,
  mix=mix,
  probs=probs,
  selector="threshold",
  schemes=("bilevel", "second_order", "single_level", "frozen"),
  penalty=penalty,
  transit=transit,
  report=report,
  needs=check_space,
)
