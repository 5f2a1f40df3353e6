"""Scores of candidates: what the supernet is worth under each of them."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnas.data import loader, placing
from jnas.pipeline import problem, stage
from jnas.pipeline.journal import Journal, put
from jnas.training import keys, metrics, steps, trials
from jnas.training.keys import Purpose, Stage
from jnas.training.state import SearchState, SelectionState


class Scorer(NamedTuple):
  """A compiled call of trials, and what it reads.

  Attributes:
    call: of `trials.make_trials`.
    varied: the cell types whose weights differ between candidates.
    num_weights: M, candidates a call.
    num_batches: batches of the split.
    valid: the images.
    index: `[S, B]`, their order, on the host.
    order: the same with its mask, on the devices.
  """

  call: Callable[..., tuple[metrics.MetricSums, jax.Array]]
  varied: Sequence[str]
  num_weights: int
  num_batches: int
  valid: stage.Placed
  index: np.ndarray
  order: trials.Order

  def calls(self, num_candidates: int) -> int:
    """Calls that so many candidates take, over all batches."""
    return -(-num_candidates // self.num_weights) * self.num_batches


def make_scorer(
  found: problem.Problem,
  search: steps.Search,
  state: SearchState,
  valid: stage.Placed,
  varied: Sequence[str],
) -> tuple[Scorer, jax.stages.Compiled]:
  """The compiled call of trials in which these cell types differ."""
  config, space = found.config.selection, found.space
  num_images = valid.num_images
  base_key = keys.base(found.config.seed, Stage.SELECT)
  order = trials.order(
    keys.key_for(base_key, Purpose.TRIAL_ORDER),
    num_images,
    min(config.batch_size, num_images),
  )
  placed = placing.put(order, state.step.sharding)
  weights = {}
  for name in space.cell_types:
    lead = (config.trials_per_call,) if name in varied else ()
    weights[name] = jnp.zeros((*lead, *space.mask(name).shape))
  inputs = placing.put(
    (
      weights,
      jnp.ones(config.trials_per_call, bool),
      placed,
      trials.zero_sums(config.trials_per_call),
      jnp.zeros((), jnp.int32),
    ),
    state.step.sharding,
  )
  call = stage.compile_step(
    f"trials ({', '.join(varied)})",
    trials.make_trials(
      search,
      varied=varied,
      batch_statistics=config.batch_statistics,
      sharding=valid.sharding,
    ),
    state.params,
    state.batch_stats,
    *inputs[:2],
    next(splits(valid, order.index, 0)),
    *inputs[2:],
  )
  scorer = Scorer(
    call,
    tuple(varied),
    config.trials_per_call,
    len(order.index),
    valid,
    order.index,
    placed,
  )
  return scorer, call


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
    placed = _place(scorer, state.search, weights, tried, num_candidates)
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
      scores=placing.put(scores, sharding),
      sums=placing.put(trials.zero_sums(scorer.num_weights), sharding),
    )
    journal.save(state)
  return state


def measure(
  scorer: Scorer, net: SearchState, weights: Mapping[str, np.ndarray]
) -> np.ndarray:
  """`[C, 2]` accuracy and loss of the candidates, nothing written down.

  Args:
    scorer: the program.
    net: the supernet.
    weights: as in `score`.
  """
  num_candidates = len(weights[scorer.varied[0]])
  scores = []
  for tried in range(0, num_candidates, scorer.num_weights):
    placed = _place(scorer, net, weights, tried, num_candidates)
    start = placing.put(
      (trials.zero_sums(scorer.num_weights), np.int32(0)), net.step.sharding
    )
    *_, (sums, _) = _batches(scorer, net, placed, *start)
    scores.append(_means(sums))
  return np.concatenate(scores)[:num_candidates]


def _place(
  scorer: Scorer,
  net: SearchState,
  weights: Mapping[str, np.ndarray],
  tried: int,
  num_candidates: int,
) -> tuple[Any, Any]:
  """The weights of the next call, and which of them are not to fill it up."""
  rows = np.arange(tried, tried + scorer.num_weights)
  active = rows < num_candidates
  rows = np.minimum(rows, num_candidates - 1)
  placed = {
    name: value[rows] if name in scorer.varied else value
    for name, value in weights.items()
  }
  return placing.put((placed, active), net.step.sharding)


def _call(
  scorer: Scorer,
  journal: Journal,
  state: SelectionState,
  placed: tuple[Any, Any],
) -> SelectionState:
  """The sums of a call over the batches that are left."""
  left = scorer.num_batches - int(state.batch)
  for sums, batch in _batches(
    scorer, state.search, placed, state.sums, state.batch
  ):
    # A batch is dispatched before the one before is waited for.
    host = jax.device_get(state.sums)
    left -= 1
    state = state._replace(sums=sums, batch=batch)
    loss = host.loss[0] / max(host.count[0], 1)
    journal.reach(journal.count + 1, float(loss))
    if left:
      journal.save_in_time(state)
  return state


def _batches(
  scorer: Scorer,
  net: SearchState,
  placed: tuple[Any, Any],
  sums: metrics.MetricSums,
  batch: jax.Array,
) -> Iterator[tuple[metrics.MetricSums, jax.Array]]:
  """The sums after each batch that is left, all of it on the devices."""
  for split in splits(scorer.valid, scorer.index, int(batch)):
    with jax.transfer_guard("disallow"):
      sums, batch = scorer.call(
        net.params,
        net.batch_stats,
        *placed,
        split,
        scorer.order,
        sums,
        batch,
      )
    yield sums, batch


def splits(
  valid: stage.Placed, index: np.ndarray, start: int
) -> Iterator[loader.Resident | loader.Batch]:
  """What each batch from `start` on is given: all images, or its own."""
  if isinstance(valid.data, loader.Resident):
    return itertools.repeat(valid.data, len(index) - start)
  return valid.batches(index, start=start)


def _means(sums: metrics.MetricSums) -> np.ndarray:
  """`[M, 2]` accuracy and loss; of those that were not run, zeros."""
  host = jax.device_get(sums)
  count = np.maximum(host.count, 1)
  return np.stack([host.correct / count, host.loss / count], axis=-1)
