"""SGAS: one edge at a time is decided, by importance, certainty, stability.

Source: SGAS (arXiv:1912.00195), Sec. 3.2; SPEC 3.8.
"""

from typing import Literal, NamedTuple

import chex
import jax.numpy as jnp

from jnas.functional import numerics
from jnas.types import Array


class History(NamedTuple):
  """The last T records of an edge's probabilities among its operations.

  Attributes:
    probs_tek: `[T, E, K]` records; record number r lies in row r mod T.
    num_records: `[]` int32, how many were ever made.
  """

  probs_tek: Array
  num_records: Array


class Decisions(NamedTuple):
  """What is settled about the edges of a cell.

  Attributes:
    decided_e: `[E]` booleans, True for an edge whose operation is fixed.
    op_e: `[E]` int32, that operation; -1 elsewhere.
    pruned_e: `[E]` booleans, True for an edge that is removed.
  """

  decided_e: Array
  op_e: Array
  pruned_e: Array


def init_history(*, length: int, num_edges: int, num_ops: int) -> History:
  """No records.

  Args:
    length: T, how many are kept; 4 in the paper's code.
    num_edges: E.
    num_ops: K.
  """
  probs_tek = jnp.zeros((length, num_edges, num_ops), jnp.float32)
  return History(probs_tek, jnp.zeros((), jnp.int32))


def init_decisions(num_edges: int) -> Decisions:
  """Nothing decided on any of E edges."""
  nothing_e = jnp.zeros(num_edges, bool)
  return Decisions(nothing_e, jnp.full(num_edges, -1, jnp.int32), nothing_e)


def importance(probs_ek: Array, real_ek: Array) -> Array:
  """Probability that an edge is used at all, by any operation but `none`.

  Source: SGAS, Sec. 3.2, edge importance.

  Args:
    probs_ek: `[E, K]` softmax of the logits.
    real_ek: `[E, K]` booleans, False for `none` and for padding.

  Returns:
    `[E]` in 0..1.
  """
  chex.assert_equal_shape([probs_ek, real_ek])
  return jnp.sum(jnp.where(real_ek, probs_ek, 0), axis=-1)


def op_probs(probs_ek: Array, real_ek: Array) -> Array:
  """Probabilities of an edge's operations given that it is used.

  Source: SGAS, Sec. 3.2, selection certainty.

  Args:
    probs_ek: `[E, K]` softmax of the logits.
    real_ek: `[E, K]` booleans, False for `none` and for padding.

  Returns:
    `[E, K]`, each row summing to 1.
  """
  used_e = importance(probs_ek, real_ek)
  real_probs_ek = jnp.where(real_ek, probs_ek, 0)
  return numerics.safe_divide(real_probs_ek, used_e[:, None])


def certainty(op_probs_ek: Array, real_ek: Array) -> Array:
  """One minus the entropy of the operations over its maximum.

  Source: SGAS, Sec. 3.2, selection certainty.

  Args:
    op_probs_ek: `[E, K]` probabilities of `op_probs`.
    real_ek: `[E, K]` booleans, False for `none` and for padding.

  Returns:
    `[E]` in 0..1; 1 for an edge with a single operation.
  """
  chex.assert_equal_shape([op_probs_ek, real_ek])
  largest_e = jnp.log(jnp.maximum(jnp.sum(real_ek, axis=-1), 1))
  entropy_e = numerics.entropy(op_probs_ek)
  return 1 - numerics.safe_divide(entropy_e, largest_e.astype(entropy_e.dtype))


def stability(op_probs_ek: Array, history: History) -> Array:
  """Mean overlap of the probabilities with the recorded ones.

  Source: SGAS, Sec. 3.2, selection stability: intersection of histograms.

  Args:
    op_probs_ek: `[E, K]` probabilities of `op_probs`.
    history: earlier ones.

  Returns:
    `[E]` in 0..1; 0 without any record.
  """
  chex.assert_equal_shape_suffix([op_probs_ek, history.probs_tek], 2)
  overlap_te = jnp.sum(
    jnp.minimum(history.probs_tek, op_probs_ek[None]), axis=-1
  )
  length = history.probs_tek.shape[0]
  num_kept = jnp.minimum(history.num_records, length)
  kept_t = jnp.arange(length) < num_kept
  total_e = jnp.sum(jnp.where(kept_t[:, None], overlap_te, 0), axis=0)
  return numerics.safe_divide(total_e, num_kept.astype(total_e.dtype))


def record(history: History, op_probs_ek: Array) -> History:
  """The history with one more record, the oldest dropped.

  Source: SPEC 3.8: every epoch, edges already decided included.

  Args:
    history: earlier records.
    op_probs_ek: `[E, K]` probabilities of `op_probs`.
  """
  row = history.num_records % history.probs_tek.shape[0]
  return History(
    probs_tek=history.probs_tek.at[row].set(op_probs_ek),
    num_records=history.num_records + 1,
  )


def scores(
  probs_ek: Array,
  real_ek: Array,
  history: History,
  *,
  criterion: Literal[1, 2],
) -> Array:
  """How ripe each edge is for a decision.

  Source: SGAS, Sec. 3.2, criteria 1 and 2: products of normalised measures.

  Args:
    probs_ek: `[E, K]` softmax of the logits.
    real_ek: `[E, K]` booleans, False for `none` and for padding.
    history: records of `op_probs`; read by criterion 2 only.
    criterion: 1 for importance and certainty, 2 for stability as well.

  Returns:
    `[E]` in 0..1.

  Raises:
    ValueError: for another criterion.
  """
  if criterion not in (1, 2):
    raise ValueError(f"criterion {criterion!r}: must be 1 or 2")
  given_use_ek = op_probs(probs_ek, real_ek)
  score_e = normalize(importance(probs_ek, real_ek)) * normalize(
    certainty(given_use_ek, real_ek)
  )
  if criterion == 1:
    return score_e
  return score_e * normalize(stability(given_use_ek, history))


def normalize(value_e: Array) -> Array:
  """Values from 0 at the least to 1 at the largest; zeros if all are equal.

  Source: SGAS, Sec. 3.2; over all edges, decided ones included.

  Args:
    value_e: `[E]`.
  """
  chex.assert_rank(value_e, 1)
  least = jnp.min(value_e)
  return numerics.safe_divide(value_e - least, jnp.max(value_e) - least)


def choose_edge(score_e: Array, decisions: Decisions) -> Array:
  """The open edge with the highest score; ties go to the lowest index.

  Source: SGAS, Algorithm 1.

  Args:
    score_e: `[E]` scores.
    decisions: what is settled.

  Returns:
    `[]` integer; -1 if no edge is open.
  """
  chex.assert_equal_shape([score_e, decisions.decided_e])
  open_e = ~decisions.decided_e & ~decisions.pruned_e
  edge = jnp.argmax(jnp.where(open_e, score_e, -jnp.inf))
  return jnp.where(jnp.any(open_e), edge, -1)


def best_op(probs_ek: Array, real_ek: Array, edge: Array) -> Array:
  """The likeliest operation of an edge, `none` apart.

  Source: SGAS, Algorithm 1.

  Args:
    probs_ek: `[E, K]` probabilities.
    real_ek: `[E, K]` booleans, False for `none` and for padding.
    edge: `[]` integer.

  Returns:
    `[]` integer.
  """
  chex.assert_equal_shape([probs_ek, real_ek])
  return jnp.argmax(jnp.where(real_ek[edge], probs_ek[edge], -jnp.inf))


def decide(
  decisions: Decisions,
  edge: Array,
  op: Array,
  target_e: Array,
  *,
  edges_per_node: int,
) -> Decisions:
  """Fixes one edge's operation and prunes the edges that become too many.

  Source: SGAS, Algorithm 1; SPEC 3.8: once a node has two decided edges, its
  other edges are removed.

  Args:
    decisions: what is settled.
    edge: `[]` integer; -1 changes nothing.
    op: `[]` integer.
    target_e: `[E]` integers, the node that the edge enters.
    edges_per_node: how many each node keeps; 2 in the paper.
  """
  chex.assert_equal_shape([decisions.decided_e, target_e])
  chosen_e = jnp.arange(target_e.shape[0]) == edge
  decided_e = decisions.decided_e | chosen_e
  rival_ee = target_e[:, None] == target_e[None, :]
  full_e = jnp.sum(rival_ee & decided_e[None, :], axis=-1) >= edges_per_node
  return Decisions(
    decided_e=decided_e,
    op_e=jnp.where(chosen_e, op, decisions.op_e).astype(jnp.int32),
    pruned_e=decisions.pruned_e | (full_e & ~decided_e),
  )
