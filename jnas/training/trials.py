"""Trials: one supernet under several mixing weights, on one split.

The weights are an argument, so all trials of a selection run one program; the
images stay on the device.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnas.data import loader
from jnas.nets import prefix, skipping
from jnas.training import metrics, steps
from jnas.types import Array, CellWeights, PRNGKey, PyTree


class Order(NamedTuple):
  """Batches that hold every image once, in an order drawn once.

  Attributes:
    index: `[S, B]` int32.
    mask: `[S, B]` float32, 0 for images that fill up the last batch and do
      not count. They are other images of the split, so that batch statistics
      are those of a whole batch.
  """

  index: np.ndarray
  mask: np.ndarray


def order(key: PRNGKey, num_examples: int, batch_size: int) -> Order:
  """The order of the images in all trials of a stage.

  Args:
    key: consumed.
    num_examples: images of the split.
    batch_size: images in a batch, at most `num_examples`.
  """
  index = loader.epoch_order(key, num_examples, batch_size, drop_last=False)
  position = np.arange(index.size).reshape(index.shape)
  return Order(index, (position < num_examples).astype(np.float32))


def make_trials(
  search: steps.Search,
  *,
  varied: Sequence[str],
  batch_statistics: bool,
  sharding: jax.sharding.NamedSharding,
) -> Callable[..., tuple[metrics.MetricSums, Array]]:
  """One batch of a call: the sums of M mixing weights move on.

  What does not depend on the varied weights is computed once for all M: the
  stem, and all cells before the first varied one. The rest is computed for one
  after the other, so that each leaves out what it does not use, and M of them
  need hardly more memory than one.

  Source: PT, Algorithm 1; SPEC 3.6, "Evaluation mode".

  Args:
    search: the static parts.
    varied: the cell types whose weights have a leading axis.
    batch_statistics: whether batch norms use the batch's statistics (SPEC 6,
      D12); the running ones are not moved.
    sharding: of a batch.

  Returns:
    `(params, batch_stats, weights, active [M], split, order, sums [M],
    batch []) -> (sums, batch + 1)`, weights `[M, E, K]` of the varied cell
    types and `[E, K]` of the others; those that are not active are not run.
    Of a split that is streamed, `split` is the images of this batch.
  """
  evaluate = steps.make_search_eval(search, batch_statistics=batch_statistics)

  def trials(
    params: PyTree,
    batch_stats: PyTree,
    weights: CellWeights,
    active: Array,
    split: loader.Resident | loader.Batch,
    order: Order,
    sums: metrics.MetricSums,
    batch: Array,
  ) -> tuple[metrics.MetricSums, Array]:
    if isinstance(split, loader.Resident):
      images = loader.gather(*split, order.index[batch], sharding=sharding)
    else:
      images = split
    fixed = {name: weights[name] for name in weights if name not in varied}

    def run(differing: CellWeights) -> metrics.MetricSums:
      mixing = {**fixed, **differing}
      used = {name: value != 0 for name, value in mixing.items()}
      with skipping.unused(search.net, used):
        return evaluate(
          params, batch_stats, mixing, None, images, order.mask[batch]
        )

    differing = {name: weights[name] for name in varied}
    first = jax.tree.map(lambda value: value[0], differing)
    shared = prefix.record(search.net, varied, lambda: run(first))

    def run_rest(one: tuple[CellWeights, Array]) -> metrics.MetricSums:
      differing, is_active = one
      # Around `run`, so that what is recorded is not even walked through.
      with prefix.replay(search.net, shared):
        return jax.lax.cond(
          is_active, run, lambda _: metrics.zero_sums(), differing
        )

    of_batch = jax.lax.map(run_rest, (differing, active))
    return metrics.add(sums, of_batch), batch + 1

  return trials


def zero_sums(num_weights: int) -> metrics.MetricSums:
  """The sums of M mixing weights over no images."""
  return jax.tree.map(
    lambda leaf: jnp.zeros((num_weights,), leaf.dtype), metrics.zero_sums()
  )
