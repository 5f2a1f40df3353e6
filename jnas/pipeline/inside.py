"""PT inside the schedule of SGAS, which decides edges during its search.

SGAS picks the edge; its operation is the one that the supernet misses most.
SGAS prunes, and trains on until its next decision: there is no other tuning.
A search killed among the trials makes them again, with the same outcome.

Source: PT (arXiv:2108.04392), Table 2, SGAS + PT; SPEC 3.8 and 7, U11.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnas.data import placing
from jnas.functional import projection
from jnas.pipeline import problem, scoring, selecting, stage
from jnas.pipeline.programs import Programs
from jnas.selection import perturbation
from jnas.training import steps
from jnas.training.state import SearchState

# `(state before the decisions, memory after them) -> memory`.
Decide = Callable[[SearchState, Any], Any]


def make(
  found: problem.Problem,
  search: steps.Search,
  programs: Programs,
  state: SearchState,
  valid: stage.Placed,
) -> Decide | None:
  """What replaces SGAS's operations by PT's; None if nothing does."""
  if not selecting.inside(found.config):
    return None
  scorers = {
    name: scoring.make_scorer(found, search, state, valid, (name,))[0]
    for name in found.space.cell_types
  }

  def decide(state: SearchState, memory: Any) -> Any:
    made = state.memory
    for cell_type, scorer in scorers.items():
      before = made[cell_type]["decisions"]
      after = memory[cell_type]["decisions"]
      (edges,) = np.nonzero(np.asarray(after.decided_e & ~before.decided_e))
      if len(edges):
        (edge,) = map(int, edges)
        weights = jax.device_get(
          programs.believe(state.arch, made, state.step - 1).probs
        )
        op = _miss_most(found, scorer, state, weights, cell_type, edge)
        after = after._replace(op_e=after.op_e.at[edge].set(op))
      # What the normal cell decides is in force when the other one is tried.
      made = made | {cell_type: memory[cell_type] | {"decisions": after}}
    return placing.put(made, state.step.sharding)

  return decide


def _miss_most(
  found: problem.Problem,
  scorer: scoring.Scorer,
  state: SearchState,
  weights: dict[str, np.ndarray],
  cell_type: str,
  edge: int,
) -> int:
  """The operation of an edge whose removal hurts most, never `none`.

  Source: PT, Algorithm 1.
  """
  candidates = perturbation.op_candidates(
    found.space, cell_type, edge, none_candidate=False
  )
  without = projection.op_trials(jnp.asarray(weights[cell_type]), edge)
  scores = scoring.measure(
    scorer,
    state,
    weights | {cell_type: np.asarray(without)[list(candidates)]},
  )
  criterion = found.config.selection.criterion
  chosen = projection.pt_select_op(
    jnp.asarray(scores[:, 0 if criterion == "acc" else 1]),
    jnp.ones(len(candidates), bool),
    criterion=criterion,
  )
  return candidates[int(chosen)]
