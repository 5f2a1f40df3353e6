"""PT's decisions: masks for trials, choices from scores, and the schedule.

An operation is worth what the supernet loses without it. A trial sets one
mixing weight, or those of one edge, to 0 and changes nothing else; nothing is
renormalised. What was decided stays at weight exactly 1 or 0.

Source: PT (arXiv:2108.04392), Algorithms 1 and 2; SPEC 3.6.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp

from jnas.types import Array, PRNGKey

# Accuracy of the supernet, where less is a larger loss; or its loss.
Criterion = Literal["acc", "loss"]
# Edges of a node, numbered from 0, that are removed, to the supernet's score.
ScoreFn = Callable[[tuple[int, ...]], float]


class Schedule(NamedTuple):
  """When what is decided, in epochs of tuning; decisions precede training.

  Attributes:
    op_epochs: the epochs at which an edge of each cell type is projected.
    edge_epochs: the epochs at which a node of each cell type gets its edges.
    num_epochs: the epochs of the whole phase.
  """

  op_epochs: tuple[int, ...]
  edge_epochs: tuple[int, ...]
  num_epochs: int


def schedule(*, num_edges: int, num_choices: int, interval: int) -> Schedule:
  """One decision in each cell type every `interval` epochs, operations first.

  Source: SPEC 3.6, the authors' schedule: 81 epochs in the DARTS space; 25 on
  NAS-Bench-201, which has no topology to choose and where the last decision
  moves forward into the last epoch.

  Args:
    num_edges: edges of a cell, at least 1.
    num_choices: nodes with more incoming edges than they may keep.
    interval: epochs between decisions, at least 1.

  Raises:
    ValueError: for numbers below those.
  """
  if num_edges < 1 or num_choices < 0 or interval < 1:
    raise ValueError(
      f"num_edges {num_edges}, num_choices {num_choices}, interval "
      f"{interval}: must be at least 1, 0 and 1"
    )
  decisions = num_edges + num_choices
  # At least as many epochs as decisions: no two of them share an epoch.
  num_epochs = max(interval * (decisions - 1) + (num_choices > 0), decisions)
  epochs = tuple(min(interval * d, num_epochs - 1) for d in range(decisions))
  return Schedule(epochs[:num_edges], epochs[num_edges:], num_epochs)


def pick(key: PRNGKey, candidates: Array) -> Array:
  """A random candidate, each with equal probability.

  Source: PT, Algorithm 1, "randomly select an edge".

  Args:
    key: consumed; fold the number of the decision into it, so that a resumed
      run picks the same.
    candidates: `[M]` booleans, True for what is undecided.

  Returns:
    `[]` integer; -1 if there is no candidate.
  """
  chex.assert_rank(candidates, 1)
  index = jax.random.categorical(key, jnp.where(candidates, 0.0, -jnp.inf))
  return jnp.where(jnp.any(candidates), index, -1)


def masked_weights(
  weights_ek: Array, projected_e: Array, op_e: Array, discarded_e: Array
) -> Array:
  """Mixing weights with the decisions in force.

  The rows of decided edges are constants and pass no gradient.

  Source: PT, Algorithms 1 and 2; SPEC 3.6, "Masked weights".

  Args:
    weights_ek: `[E, K]` mixing weights.
    projected_e: `[E]` booleans, True where the operation is decided.
    op_e: `[E]` integers, that operation; not read elsewhere.
    discarded_e: `[E]` booleans, True where the edge is removed, projected or
      not.

  Returns:
    `[E, K]` weights; they are not renormalised.
  """
  chex.assert_rank([weights_ek, projected_e, op_e, discarded_e], [2, 1, 1, 1])
  chosen_ek = jax.nn.one_hot(op_e, weights_ek.shape[1], dtype=weights_ek.dtype)
  mixed_ek = jnp.where(projected_e[:, None], chosen_ek, weights_ek)
  return jnp.where(discarded_e[:, None], 0, mixed_ek)


def op_trials(weights_ek: Array, edge: Array | int) -> Array:
  """Mixing weights without each of the operations of an edge in turn.

  Source: PT, Algorithm 1: ACC without o, for each operation o on e.

  Args:
    weights_ek: `[E, K]` mixing weights with the decisions in force.
    edge: `[]` integer.

  Returns:
    `[K, E, K]`: entry o has weight 0 at (edge, o), all else unchanged.
  """
  num_edges, num_ops = weights_ek.shape
  on_edge_e = jnp.arange(num_edges) == edge
  removed_oek = on_edge_e[None, :, None] & jnp.eye(num_ops, dtype=bool)[:, None]
  return jnp.where(removed_oek, 0, weights_ek[None])


def edge_trials(weights_ek: Array, edges_m: Array) -> Array:
  """Mixing weights without each of some edges in turn.

  Source: PT, Algorithm 2: ACC without e, for each input edge e of a node.

  Args:
    weights_ek: `[E, K]` mixing weights with the decisions in force.
    edges_m: `[M]` integers.

  Returns:
    `[M, E, K]`: in entry m all weights of edge m are 0.
  """
  chex.assert_rank([weights_ek, edges_m], [2, 1])
  removed_me = edges_m[:, None] == jnp.arange(weights_ek.shape[0])[None, :]
  return jnp.where(removed_me[:, :, None], 0, weights_ek[None])


def pt_select_op(
  scores_k: Array, mask_k: Array, *, criterion: Criterion = "acc"
) -> Array:
  """The operation whose removal hurts most; ties go to the first.

  Source: PT, Algorithm 1: the least accuracy without o.

  Args:
    scores_k: `[K]` score of the supernet without each operation; anything
      where masked, even NaN.
    mask_k: `[K]` booleans, False for what is no candidate.
    criterion: whether the scores are accuracies or losses.

  Returns:
    `[]` integer.
  """
  chex.assert_equal_shape([scores_k, mask_k])
  chex.assert_rank(scores_k, 1)
  left_k = jnp.where(mask_k, _what_is_left(scores_k, criterion), jnp.inf)
  return jnp.argmin(left_k)


def pt_select_edges(
  scores: Array | ScoreFn,
  rule: Literal["one_shot", "iterative"],
  *,
  num_candidates: int,
  num_edges: int = 2,
  criterion: Criterion = "acc",
) -> tuple[int, ...]:
  """The edges that a node keeps.

  Source: PT, Algorithm 2.
  Choice: one shot, as the paper writes it, or the elimination of the authors'
  code. They differ where edges stand in for each other.

  Args:
    scores: a function of the removed edges, or, for one shot only, `[M]`
      scores without each edge.
    rule: `"one_shot"`: those whose single removal hurts most; `"iterative"`:
      remove the least useful edge, score again without it, and so on.
    num_candidates: M, the edges into the node.
    num_edges: how many it keeps; all of them if it has no more.
    criterion: whether the scores are accuracies or losses.

  Returns:
    Edges of the node, numbered from 0, ascending.

  Raises:
    ValueError: for an unknown rule, or an array with the iterative one.
  """
  if rule == "one_shot":
    if callable(scores):
      scores = jnp.array([scores((edge,)) for edge in range(num_candidates)])
    chex.assert_shape(scores, (num_candidates,))
    kept_m = strongest_candidates(
      scores, num_edges=num_edges, criterion=criterion
    )
    return tuple(edge for edge in range(num_candidates) if kept_m[edge])
  if rule != "iterative" or not callable(scores):
    raise ValueError(
      f"rule {rule!r} with {type(scores).__name__}: must be 'one_shot', or "
      "'iterative' with a function of the removed edges"
    )
  remaining = tuple(range(num_candidates))
  while len(remaining) > num_edges:
    removed = tuple(e for e in range(num_candidates) if e not in remaining)
    trial_scores = [scores((*removed, edge)) for edge in remaining]
    weakest = remaining[weakest_candidate(trial_scores, criterion=criterion)]
    remaining = tuple(edge for edge in remaining if edge != weakest)
  return remaining


def strongest_candidates(
  scores_m: Array, *, num_edges: int, criterion: Criterion
) -> Array:
  """The edges whose single removal hurts most; ties go to the first.

  Source: PT, Algorithm 2: the two lowest accuracies.

  Args:
    scores_m: `[M]` score of the supernet without each edge.
    num_edges: how many to keep.
    criterion: whether the scores are accuracies or losses.

  Returns:
    `[M]` booleans, True for a kept edge.
  """
  chex.assert_rank(scores_m, 1)
  order_m = jnp.argsort(_what_is_left(scores_m, criterion), stable=True)
  return jnp.zeros(scores_m.shape, bool).at[order_m[:num_edges]].set(True)


def weakest_candidate(scores: Sequence[float], *, criterion: Criterion) -> int:
  """The edge whose removal hurts least; ties go to the last.

  Source: SPEC 3.6, the iterative rule of the authors' code.

  Args:
    scores: of the supernet without each of the remaining edges.
    criterion: whether the scores are accuracies or losses.

  Returns:
    A position in `scores`.
  """
  left = list(_what_is_left(jnp.asarray(scores), criterion))
  return max(range(len(left)), key=lambda index: (left[index], index))


def _what_is_left(scores: Array, criterion: Criterion) -> Array:
  """Scores of which less means that the removal hurt more."""
  if criterion not in ("acc", "loss"):
    raise ValueError(f"criterion {criterion!r}: must be 'acc' or 'loss'")
  return scores if criterion == "acc" else -scores
