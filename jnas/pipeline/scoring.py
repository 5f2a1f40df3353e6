"""Scores of candidates: what the supernet is worth under each of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jnas.data import loader
from jnas.pipeline.journal import Journal, put
from jnas.training import metrics, trials
from jnas.training.state import SelectionState


class Scorer(NamedTuple):
  """A compiled call of trials, and what it reads.

  Attributes:
    call: of `trials.make_trials`.
    varied: the cell types whose weights differ between candidates.
    num_weights: M, candidates a call.
    num_batches: batches of the split.
    split: the images, on the devices.
    order: of the images, on the devices.
  """

  call: Callable[..., tuple[metrics.MetricSums, jax.Array]]
  varied: Sequence[str]
  num_weights: int
  num_batches: int
  split: loader.Resident
  order: trials.Order

  def calls(self, num_candidates: int) -> int:
    """Calls that so many candidates take, over all batches."""
    return -(-num_candidates // self.num_weights) * self.num_batches


def score(
  scorer: Scorer,
  journal: Journal,
  state: SelectionState,
  weights: Mapping[str, np.ndarray],
  describe: Callable[[int], dict[str, Any]],
) -> SelectionState:
  """Scores the candidates that the state does not hold yet.

  Every call's scores are written down and saved; within a call the state is
  saved when it is time. Nothing of the supernet changes.

  Source: PT, Algorithms 1 and 2: ACC without o, ACC without e.

  Args:
    scorer: the program.
    journal: where it is written down.
    state: with what is scored already.
    weights: `[C, E, K]` for the varied cell types, `[E, K]` for the others.
    describe: what the record of a candidate says of it.

  Returns:
    The state with all scores.
  """
  num_candidates = len(weights[scorer.varied[0]])
  tried = int(state.tried)
  while tried < num_candidates:
    rows = np.arange(tried, tried + scorer.num_weights)
    rows = np.minimum(rows, num_candidates - 1)
    placed = jax.device_put(
      {
        name: value[rows] if name in scorer.varied else value
        for name, value in weights.items()
      },
      state.search.step.sharding,
    )
    state = _call(scorer, journal, state, placed)
    means = _means(state.sums)
    last = min(tried + scorer.num_weights, num_candidates)
    scores = np.array(state.scores)
    scores[tried:last] = means[: last - tried]
    for index in range(tried, last):
      accuracy, loss = map(float, scores[index])
      journal.write("trial", **describe(index), accuracy=accuracy, loss=loss)
    tried = last
    sharding = state.search.step.sharding
    state = state._replace(
      tried=put(tried, state),
      batch=put(0, state),
      scores=jax.device_put(scores, sharding),
      sums=jax.device_put(trials.zero_sums(scorer.num_weights), sharding),
    )
    journal.save(state)
  return state


def _call(
  scorer: Scorer, journal: Journal, state: SelectionState, weights: Any
) -> SelectionState:
  """The sums of a call over the batches that are left."""
  net, sums, batch = state.search, state.sums, state.batch
  first = int(batch)
  with jax.transfer_guard("disallow"):
    for index in range(first, scorer.num_batches):
      before = sums
      sums, batch = scorer.call(
        net.params,
        net.batch_stats,
        weights,
        scorer.split,
        scorer.order,
        sums,
        batch,
      )
      # A batch is dispatched before the one before is waited for.
      host = jax.device_get(before)
      loss = host.loss[0] / max(host.count[0], 1)
      journal.reach(journal.count + 1, float(loss))
      if index + 1 < scorer.num_batches:
        journal.save_in_time(state._replace(sums=sums, batch=batch))
  return state._replace(sums=sums, batch=batch)


def _means(sums: metrics.MetricSums) -> np.ndarray:
  """`[M, 2]` accuracy and loss."""
  host = jax.device_get(sums)
  return np.stack([host.correct / host.count, host.loss / host.count], axis=-1)
