"""What a search draws for each epoch: orders of its images, keys of crops."""

from collections.abc import Sequence

import jax
import numpy as np

from jnas.data import loader
from jnas.training import keys, steps
from jnas.training.keys import Purpose


def of_epoch(
  search: steps.Search,
  base_key: jax.Array,
  epoch: int,
  sizes: Sequence[int],
  batch_size: int,
) -> tuple[np.ndarray, np.ndarray]:
  """The order of training and of validation images in an epoch.

  There is one validation batch for each training batch; a validation split
  with fewer whole batches is passed over several times, each time shuffled
  anew.
  """
  num_train, num_valid = sizes
  per_pass = loader.steps_per_epoch(num_valid, batch_size)
  passes = -(-search.steps_per_epoch // per_pass)
  train_key = keys.key_for(base_key, Purpose.TRAIN_ORDER, epoch)
  valid_orders = [
    loader.epoch_order(
      keys.key_for(base_key, Purpose.VALID_ORDER, epoch * passes + index),
      num_valid,
      batch_size,
    )
    for index in range(passes)
  ]
  return (
    loader.epoch_order(train_key, num_train, batch_size),
    np.concatenate(valid_orders)[: search.steps_per_epoch],
  )


def crops(base_key: jax.Array, epoch: int) -> tuple[jax.Array, jax.Array]:
  """What the crops of the images of an epoch are drawn from."""
  train_key, valid_key = (
    keys.key_for(base_key, purpose, epoch)
    for purpose in (Purpose.TRAIN_CROP, Purpose.VALID_CROP)
  )
  return train_key, valid_key
