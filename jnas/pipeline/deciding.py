"""PT edge by edge: trials, a decision, tuning, and again.

Source: PT (arXiv:2108.04392), Algorithms 1 and 2; SPEC 3.6.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnas import config as configs
from jnas.data import placing
from jnas.functional import decisions as rules
from jnas.functional import projection
from jnas.methods import held
from jnas.pipeline import scoring, tuning
from jnas.pipeline.journal import Journal, put
from jnas.selection import perturbation
from jnas.spaces import Space
from jnas.training import keys
from jnas.training.keys import Purpose
from jnas.training.state import SelectionState


class Deciding(NamedTuple):
  """What the decisions need besides a state.

  Attributes:
    space: the search space.
    config: of the selection.
    tuning: between the decisions.
    scorers: by cell type; empty where nothing is tried.
  """

  space: Space
  config: configs.SelectionConfig
  tuning: tuning.Tuning
  scorers: Mapping[str, scoring.Scorer]


def num_events(
  space: Space,
  config: configs.SelectionConfig,
  scorers: Mapping[str, scoring.Scorer],
  steps_per_epoch: int,
) -> int:
  """Calls of trials, decisions and tuning steps of a whole selection."""
  tasks, num_epochs = perturbation.tasks(space, tune_epochs=config.tune_epochs)
  total = num_epochs * steps_per_epoch + len(tasks)
  for cell_type, scorer in scorers.items():
    for edge in range(len(space.edges)):
      candidates = _candidates(space, config, cell_type, edge)
      total += scorer.calls(len(candidates)) if len(candidates) > 1 else 0
    for node in perturbation.open_nodes(space):
      num_edges = len(perturbation.edges_into(space, node))
      if config.topology == "one_shot":
        total += scorer.calls(num_edges)
        continue
      rounds = range(space.edges_per_node + 1, num_edges + 1)
      total += sum(scorer.calls(left) for left in rounds) + len(rounds) - 1
  return total


def run(
  deciding: Deciding, journal: Journal, state: SelectionState
) -> SelectionState:
  """Makes all decisions that the state does not hold yet.

  Args:
    deciding: the parts.
    journal: where it is written down.
    state: before the first decision, or anywhere after.

  Returns:
    The state after the last one and the last tuning.
  """
  config, part = deciding.config, deciding.tuning
  tasks, num_epochs = perturbation.tasks(
    deciding.space, tune_epochs=config.tune_epochs
  )
  first = int(state.search.step) // part.search.steps_per_epoch
  measured = {task.epoch - 1 for task in tasks} | {num_epochs - 1}
  for epoch in range(first, num_epochs + 1):
    for task in tasks[int(state.decided) :]:
      if task.epoch == epoch:
        state = _decide(deciding, journal, state, task)
    if epoch < num_epochs:
      state = tuning.run_epoch(
        part, journal, state, epoch, validate=epoch in measured
      )
  return state


def _decide(
  deciding: Deciding,
  journal: Journal,
  state: SelectionState,
  task: perturbation.Task,
) -> SelectionState:
  made = jax.device_get(state.search.memory.decisions[task.cell_type])
  # The pick depends on the seed and on what is decided, not on the past.
  key = keys.key_for(
    deciding.tuning.base_key, Purpose.SELECT, int(state.decided)
  )
  if task.phase == "operation":
    edge = int(projection.pick(key, jnp.asarray(~made.projected_e)))
    return _decide_op(deciding, journal, state, task, edge)
  is_open = np.zeros(deciding.space.num_nodes, bool)
  is_open[list(perturbation.open_nodes(deciding.space))] = True
  node = int(projection.pick(key, jnp.asarray(is_open & ~made.settled_n)))
  while True:
    state, done = _decide_edges(deciding, journal, state, task, node)
    if done:
      return state


def _decide_op(
  deciding: Deciding,
  journal: Journal,
  state: SelectionState,
  task: perturbation.Task,
  edge: int,
) -> SelectionState:
  """Gives an edge its operation.

  Source: PT, Algorithm 1.
  """
  space, config, cell_type = deciding.space, deciding.config, task.cell_type
  names = space.ops[cell_type][edge]
  candidates = _candidates(space, config, cell_type, edge)
  strengths = _without_decisions(deciding, state)[cell_type][edge]
  largest = perturbation.strongest_op(strengths, candidates)
  place = _place(state, task) | {"edge": list(space.edges[edge])}
  if config.name == "magnitude" or len(candidates) == 1:
    op = largest
  else:
    weights = _weights(deciding, state)
    without = projection.op_trials(jnp.asarray(weights[cell_type]), edge)
    state = scoring.score(
      deciding.scorers[cell_type],
      journal,
      state,
      weights | {cell_type: np.asarray(without)[list(candidates)]},
      lambda index: place | {"op": names[candidates[index]]},
    )
    scores = _scores(state, config, len(candidates))
    op = candidates[
      int(
        projection.pt_select_op(
          scores, jnp.ones(len(candidates), bool), criterion=config.criterion
        )
      )
    ]
  made = state.search.memory.decisions[cell_type]
  record = place | {"op": names[op], "largest_op": names[largest]}
  return _finish(
    journal, state, task, rules.project(made, edge, op), record, done=True
  )


def _decide_edges(
  deciding: Deciding,
  journal: Journal,
  state: SelectionState,
  task: perturbation.Task,
  node: int,
) -> tuple[SelectionState, bool]:
  """Chooses a node's edges, or removes one of them.

  Source: PT, Algorithm 2; SPEC 6, D10.

  Returns:
    The state, and whether the node has the edges that it keeps.
  """
  space, config, cell_type = deciding.space, deciding.config, task.cell_type
  made = state.search.memory.decisions[cell_type]
  gone_e = np.asarray(made.discarded_e)
  edges = [e for e in perturbation.edges_into(space, node) if not gone_e[e]]
  place = _place(state, task) | {"node": space.num_inputs + node}
  if config.name == "magnitude":
    strengths = _without_decisions(deciding, state)[cell_type]
    kept = perturbation.strongest_edges(
      jnp.asarray(strengths), space, cell_type, node
    )
  else:
    weights = _weights(deciding, state)
    without = projection.edge_trials(
      jnp.asarray(weights[cell_type]), jnp.asarray(edges)
    )
    state = scoring.score(
      deciding.scorers[cell_type],
      journal,
      state,
      weights | {cell_type: np.asarray(without)},
      lambda index: place | {"edge": list(space.edges[edges[index]])},
    )
    kept = _kept(deciding, _scores(state, config, len(edges)), edges)
  done = len(kept) <= space.edges_per_node
  gone = [edge for edge in edges if edge not in kept]
  made = made._replace(
    discarded_e=made.discarded_e.at[jnp.asarray(gone)].set(True),
    settled_n=made.settled_n.at[node].set(done),
  )
  record = place | {
    "kept": [space.edges[edge][0] for edge in kept],
    "removed": [space.edges[edge][0] for edge in gone],
  }
  return _finish(journal, state, task, made, record, done=done), done


def _kept(
  deciding: Deciding, scores: jax.Array, edges: Sequence[int]
) -> tuple[int, ...]:
  """The edges left by the scores of their removals."""
  config = deciding.config
  if config.topology == "iterative":
    weakest = projection.weakest_candidate(
      list(scores), criterion=config.criterion
    )
    return tuple(edge for i, edge in enumerate(edges) if i != weakest)
  kept = projection.pt_select_edges(
    scores,
    "one_shot",
    num_candidates=len(edges),
    num_edges=deciding.space.edges_per_node,
    criterion=config.criterion,
  )
  return tuple(edges[index] for index in kept)


def _finish(
  journal: Journal,
  state: SelectionState,
  task: perturbation.Task,
  made: rules.Decisions,
  record: dict[str, Any],
  *,
  done: bool,
) -> SelectionState:
  """Puts a decision in force, writes it down and saves."""
  memory = state.search.memory
  decisions = memory.decisions | {task.cell_type: made}
  net = state.search._replace(memory=memory._replace(decisions=decisions))
  state = state._replace(
    decided=put(int(state.decided) + done, state),
    tried=put(0, state),
    scores=jnp.zeros_like(state.scores),
    search=net,
  )
  state = placing.put(state, state.search.step.sharding)
  journal.reach(journal.count + 1, 0.0)
  journal.write("decision", **record)
  journal.save(state)
  return state


def _place(state: SelectionState, task: perturbation.Task) -> dict[str, Any]:
  return {
    "epoch": task.epoch,
    "decision": int(state.decided),
    "cell_type": task.cell_type,
  }


def _scores(
  state: SelectionState, config: configs.SelectionConfig, num: int
) -> jax.Array:
  column = 0 if config.criterion == "acc" else 1
  return state.scores[:num, column]


def _candidates(
  space: Space, config: configs.SelectionConfig, cell_type: str, edge: int
) -> tuple[int, ...]:
  return perturbation.op_candidates(
    space, cell_type, edge, none_candidate=config.none_candidate
  )


def _weights(
  deciding: Deciding, state: SelectionState
) -> dict[str, np.ndarray]:
  """Mixing weights with the decisions in force, on the host."""
  net = state.search
  belief = deciding.tuning.programs.believe(net.arch, net.memory, net.step)
  return {name: np.asarray(row) for name, row in belief.probs.items()}


def _without_decisions(
  deciding: Deciding, state: SelectionState
) -> dict[str, np.ndarray]:
  """Mixing weights as if nothing were decided, on the host."""
  net, memory = state.search, state.search.memory
  nothing = placing.put(
    held.undecided(deciding.space), state.search.step.sharding
  )
  belief = deciding.tuning.programs.believe(
    net.arch, memory._replace(decisions=nothing), net.step
  )
  return {name: np.asarray(row) for name, row in belief.probs.items()}
