"""EnTranNAS: the softmax is searched in Engine-cells, the rest is derived.

Which cells are Engine-cells, feature sharing and the bottleneck are settings
of the supernet, so that each can be switched on alone (`config.supernet`).

Source: EnTranNAS (arXiv:2101.11342), Secs. 3.1 and 3.2; SPEC 3.4.
"""

import dataclasses

from jnas.functional import schedules
from jnas.methods import base, darts
from jnas.types import ArchParams, Array, CellWeights


@dataclasses.dataclass(frozen=True)
class Settings(darts.Settings):
  """What EnTranNAS leaves open.

  Attributes:
    allow_same_edge: whether the connections that a node keeps may share an
      edge, as the paper's wording reads; DARTS's rule takes distinct edges.
  """

  temperature: float = 5.0
  temperature_decay: float = 0.923
  allow_same_edge: bool = False


def transit(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """S: the strongest connections into each node, unweighted.

  Source: EnTranNAS, Eqs. (3) and (4).
  Choice: distinct edges, as in DARTS, unless `allow_same_edge` (SPEC 7, U3).

  Args:
    settings: the method's.
    arch: logits of each cell type.
    context: space and progress.

  Returns:
    `[E, K]` zeros and ones of each cell type.
  """
  return base.strongest_connections(
    darts.probs(settings, arch, context),
    context.space,
    allow_same_edge=settings.allow_same_edge,
  )


def report(
  settings: darts.Settings, arch: ArchParams, context: base.Context
) -> dict[str, Array]:
  """The softmax's temperature."""
  del arch
  return {
    "temperature": schedules.exponential(
      context.progress.epoch,
      start=settings.temperature,
      decay=settings.temperature_decay,
    )
  }


ENTRANNAS = base.Method(
  settings=Settings,
  init=darts.init,
  mix=darts.mix,
  probs=darts.probs,
  # What the Transit-cells compute is what is derived.
  decide=transit,
  selector="threshold",
  transit=transit,
  report=report,
)
