"""Trials: one supernet under several mixing weights, on one split.

The weights are an argument, so all trials of a selection run one program; the
images stay on the device and are normalised once for all weights of a call.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnas.data import loader
from jnas.nets import skipping
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
  images' part, the stem, and all cells before the first varied one.

  Source: PT, Algorithm 1; SPEC 3.6, "Evaluation mode".

  Args:
    search: the static parts.
    varied: the cell types whose weights have a leading axis.
    batch_statistics: whether batch norms use the batch's statistics (SPEC 6,
      D12); the running ones are not moved.
    sharding: of a batch.

  Returns:
    `(params, batch_stats, weights, split, order, sums [M], batch []) ->
    (sums, batch + 1)`, weights `[M, E, K]` of the varied cell types and
    `[E, K]` of the others. Of a split that is streamed, `split` is the images
    of this batch.
  """
  evaluate = steps.make_search_eval(search, batch_statistics=batch_statistics)

  def trials(
    params: PyTree,
    batch_stats: PyTree,
    weights: CellWeights,
    split: loader.Resident | loader.Batch,
    order: Order,
    sums: metrics.MetricSums,
    batch: Array,
  ) -> tuple[metrics.MetricSums, Array]:
    if isinstance(split, loader.Resident):
      images = loader.gather(*split, order.index[batch], sharding=sharding)
    else:
      images = split
    axes = {name: 0 if name in varied else None for name in weights}
    # For all weights of a call at once, or the branches would be taken anyway.
    used = {
      name: jnp.any(value != 0, axis=0) if name in varied else value != 0
      for name, value in weights.items()
    }
    with skipping.unused(search.net, used):
      of_batch = jax.vmap(
        lambda weights: evaluate(
          params, batch_stats, weights, None, images, order.mask[batch]
        ),
        in_axes=(axes,),
      )(weights)
    return metrics.add(sums, of_batch), batch + 1

  return trials


def zero_sums(num_weights: int) -> metrics.MetricSums:
  """The sums of M mixing weights over no images."""
  return jax.tree.map(
    lambda leaf: jnp.zeros((num_weights,), leaf.dtype), metrics.zero_sums()
  )
