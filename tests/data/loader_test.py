import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.data import base, loader

KEY = jax.random.key(0)


def make_split(num_examples: int) -> base.Split:
  """Image i is full of the number i, and its label is i."""
  numbers = np.arange(num_examples)
  images = np.broadcast_to(
    numbers[:, None, None, None], (num_examples, 2, 2, 1)
  )
  return base.Split(images.astype(np.uint8), numbers.astype(np.int32))


def data_sharding() -> jax.NamedSharding:
  mesh = jax.make_mesh(
    (jax.device_count(),),
    ("data",),
    axis_types=(jax.sharding.AxisType.Auto,),
  )
  return jax.NamedSharding(mesh, jax.P("data"))


def test_an_epoch_has_every_example_at_most_once_in_whole_batches():
  order = loader.epoch_order(KEY, 103, 10)
  assert order.shape == (10, 10) and order.dtype == np.int32
  assert len(set(order.ravel())) == 100
  assert order.min() >= 0 and order.max() <= 102


def test_an_epoch_that_keeps_its_rest_has_every_example():
  order = loader.epoch_order(KEY, 103, 10, drop_last=False)
  assert order.shape == (11, 10)
  assert set(order.ravel()) == set(range(103))
  # 110 places, 103 examples: the first 7 come a second time, at the end.
  np.testing.assert_array_equal(order.ravel()[103:], order.ravel()[:7])


def test_an_epoch_that_divides_evenly_has_no_rest():
  for drop_last in (True, False):
    order = loader.epoch_order(KEY, 40, 8, drop_last=drop_last)
    assert sorted(order.ravel()) == list(range(40))
    assert loader.steps_per_epoch(40, 8, drop_last=drop_last) == 5


def test_the_order_is_a_function_of_the_key():
  first = loader.epoch_order(jax.random.fold_in(KEY, 0), 50, 5)
  again = loader.epoch_order(jax.random.fold_in(KEY, 0), 50, 5)
  other = loader.epoch_order(jax.random.fold_in(KEY, 1), 50, 5)
  np.testing.assert_array_equal(first, again)
  assert not np.array_equal(first, other)


@pytest.mark.parametrize("batch_size", [0, -1, 81])
def test_a_batch_that_the_split_cannot_fill_is_refused(batch_size: int):
  with pytest.raises(ValueError, match=f"batch size is {batch_size}; .* 80"):
    loader.epoch_order(KEY, 80, batch_size)


def test_the_halves_of_the_bilevel_split_are_shuffled_and_disjoint():
  train, valid = loader.bilevel_split(KEY, 101, 0.5)
  assert train.dtype == valid.dtype == np.int32
  assert (len(train), len(valid)) == (50, 51)  # floor(50.5), the rest
  assert set(train) | set(valid) == set(range(101))
  assert not np.array_equal(np.sort(train), train)
  assert not set(range(50)) == set(train)


@pytest.mark.parametrize(
  ("fraction", "num_train"), [(0.29, 29), (0.57, 57), (0.9, 90)]
)
def test_the_fraction_is_taken_exactly(fraction: float, num_train: int):
  train, valid = loader.bilevel_split(KEY, 100, fraction)
  assert (len(train), len(valid)) == (num_train, 100 - num_train)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 1.5, 0.001])
def test_a_split_with_an_empty_part_is_refused(fraction: float):
  with pytest.raises(ValueError, match=f"fraction {fraction} of 100"):
    loader.bilevel_split(KEY, 100, fraction)


def test_evaluation_counts_every_example_once():
  index, mask = loader.eval_batches(10, 4)
  np.testing.assert_array_equal(
    index, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 0]]
  )
  np.testing.assert_array_equal(
    mask, [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0]]
  )
  assert index.dtype == np.int32 and mask.dtype == np.float32


@pytest.mark.parametrize(
  ("num_examples", "batch_size", "num_steps"), [(8, 4, 2), (3, 8, 1), (1, 1, 1)]
)
def test_evaluation_takes_as_many_steps_as_needed(
  num_examples: int, batch_size: int, num_steps: int
):
  index, mask = loader.eval_batches(num_examples, batch_size)
  assert index.shape == mask.shape == (num_steps, batch_size)
  np.testing.assert_array_equal(index[mask == 1], np.arange(num_examples))


def test_evaluating_nothing_is_refused():
  with pytest.raises(ValueError, match="0 examples"):
    loader.eval_batches(0, 4)


def test_gather_picks_images_with_their_labels():
  resident = loader.put(make_split(20))
  batch = loader.gather(*resident, jnp.array([7, 0, 19, 7]))
  assert batch["images"].dtype == jnp.uint8
  np.testing.assert_array_equal(batch["labels"], [7, 0, 19, 7])
  np.testing.assert_array_equal(batch["images"][:, 1, 1, 0], [7, 0, 19, 7])


def test_batches_follow_the_order_and_resume_inside_it():
  resident = loader.put(make_split(30))
  order = loader.epoch_order(KEY, 30, 6)
  labels = [np.asarray(b["labels"]) for b in loader.batches(resident, order)]
  np.testing.assert_array_equal(labels, order)
  rest = loader.batches(resident, order, start=3)
  np.testing.assert_array_equal(
    [np.asarray(b["labels"]) for b in rest], order[3:]
  )


def test_batches_pass_the_transfer_guard_and_compile_once():
  resident = loader.put(make_split(33))
  before = loader.gather._cache_size()
  with jax.transfer_guard("disallow"):
    order = loader.epoch_order(KEY, 33, 3)
    batches = list(loader.batches(resident, order))
  assert len(batches) == 11
  assert loader.gather._cache_size() == before + 1


def test_sharded_batches_are_spread_and_hold_the_same():
  sharding = data_sharding()
  num_devices = jax.device_count()
  resident = loader.put(make_split(64), sharding=sharding)
  assert resident.images.sharding.is_fully_replicated
  order = loader.epoch_order(KEY, 64, 4 * num_devices)
  for row, batch in zip(
    order, loader.batches(resident, order, sharding=sharding), strict=True
  ):
    assert batch["images"].sharding.is_equivalent_to(sharding, 4)
    assert batch["images"].addressable_shards[0].data.shape == (4, 2, 2, 1)
    np.testing.assert_array_equal(np.asarray(batch["labels"]), row)
    np.testing.assert_array_equal(np.asarray(batch["images"])[:, 0, 0, 0], row)
