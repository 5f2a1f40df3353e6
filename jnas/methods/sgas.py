"""SGAS: the search decides one edge at a time and never looks back.

Source: SGAS (arXiv:1912.00195), Sec. 3; SPEC 3.8.
Deviation: the batch stays as large as it is; the authors add 8 images at each
decision, since a decided edge takes less memory in their supernet.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp

from jnas.functional import mixing
from jnas.functional import sgas as rules
from jnas.methods import base, darts
from jnas.spaces import Space
from jnas.types import ArchParams, Array, CellWeights, PRNGKey, PyTree


@dataclasses.dataclass(frozen=True)
class Settings:
  """What SGAS leaves open.

  Attributes:
    init_scale: standard deviation of the initial logits.
    criterion: 1 for importance and certainty, 2 for stability as well.
    first_decision: epoch after which the first edge of each type is decided,
      from 0.
    decide_every: epochs between two decisions.
    history: epochs that stability looks back on.
  """

  init_scale: float = 1e-3
  criterion: Literal[1, 2] = 1
  first_decision: int = 9
  decide_every: int = 5
  history: int = 4

  def __post_init__(self):
    """Refuses settings without meaning."""
    if self.init_scale < 0:
      raise ValueError(f"init_scale {self.init_scale}: must be 0 or more")
    if self.first_decision < 0:
      raise ValueError(
        f"first_decision {self.first_decision}: must be 0 or more"
      )
    for name in ("decide_every", "history"):
      if getattr(self, name) < 1:
        raise ValueError(f"{name} {getattr(self, name)}: must be at least 1")
    if self.criterion not in (1, 2):
      raise ValueError(f"criterion {self.criterion}: must be 1 or 2")


def init(settings: Settings, key: PRNGKey, space: Space) -> ArchParams:
  """Logits near 0, `[E, K]` for each cell type; the key is consumed."""
  return base.initial_logits(key, space, scale=settings.init_scale)


def init_memory(settings: Settings, space: Space) -> PyTree:
  """Nothing decided and no history, for each cell type."""
  num_edges = len(space.edges)
  return {
    cell_type: {
      "decisions": rules.init_decisions(num_edges),
      "history": rules.init_history(
        length=settings.history, num_edges=num_edges, num_ops=space.num_ops
      ),
    }
    for cell_type in space.cell_types
  }


def probs(
  settings: Settings, arch: ArchParams, context: base.Context
) -> CellWeights:
  """Softmax of open edges, one-hot weights of decided ones, 0 of pruned ones.

  No gradient reaches the logits of an edge that is settled.

  Source: SGAS, Algorithm 1.
  """
  weights = {}
  for cell_type, softmax_ek in _softmax(arch, context.space).items():
    decisions = context.memory[cell_type]["decisions"]
    fixed_ek = mixing.one_hot_weights(decisions.op_e, context.space.num_ops)
    settled_e = jnp.logical_or(decisions.decided_e, decisions.pruned_e)
    weights[cell_type] = jnp.where(settled_e[:, None], fixed_ek, softmax_ek)
  return weights


def mix(
  settings: Settings, arch: ArchParams, key: PRNGKey, context: base.Context
) -> CellWeights:
  """Mixing weights of a step: `probs`, nothing drawn."""
  del key
  return probs(settings, arch, context)


def after_epoch(
  settings: Settings, arch: ArchParams, context: base.Context
) -> PyTree:
  """Decides an edge of each cell type where it is time, and records.

  Source: SGAS, Algorithm 1; SPEC 3.8 for the epochs.
  """
  epoch = context.progress.epoch
  since = epoch - settings.first_decision
  is_time = (since >= 0) & (since % settings.decide_every == 0)
  targets = jnp.asarray([target for _, target in context.space.edges])
  memory = {}
  for cell_type, softmax_ek in _softmax(arch, context.space).items():
    before = context.memory[cell_type]
    real_ek = base.allowed(context.space, cell_type)
    score_e = rules.scores(
      softmax_ek, real_ek, before["history"], criterion=settings.criterion
    )
    edge = rules.choose_edge(score_e, before["decisions"])
    decided = rules.decide(
      before["decisions"],
      jnp.where(is_time, edge, -1),
      rules.best_op(softmax_ek, real_ek, edge),
      targets,
      edges_per_node=context.space.edges_per_node,
    )
    memory[cell_type] = {
      "decisions": decided,
      "history": rules.record(
        before["history"], rules.op_probs(softmax_ek, real_ek)
      ),
    }
  return memory


def report(
  settings: Settings, arch: ArchParams, context: base.Context
) -> dict[str, Array]:
  """How many edges of each cell type are decided."""
  del settings, arch
  return {
    f"decided_{cell_type}": jnp.sum(
      context.memory[cell_type]["decisions"].decided_e
    )
    for cell_type in context.space.cell_types
  }


def _softmax(arch: ArchParams, space: Space) -> CellWeights:
  return {
    cell_type: mixing.softmax_weights(
      arch[cell_type], jnp.asarray(space.mask(cell_type)), temperature=1.0
    )
    for cell_type in space.cell_types
  }


SGAS = base.Method(
  settings=Settings,
  init=init,
  mix=mix,
  probs=probs,
  selector="magnitude",
  schemes=("bilevel", "second_order", "single_level"),
  init_memory=init_memory,
  after_epoch=after_epoch,
  report=report,
  decides_edges=True,
  authors=darts.DARTS.authors,
)
