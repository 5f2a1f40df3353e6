"""Trials: several mixing weights on one split, by one program."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.data import loader
from jnas.functional import projection
from jnas.nets import graph
from jnas.pipeline import problem, programs, stage
from jnas.selection import perturbation
from jnas.spaces import Space
from jnas.training import batches, keys, sharding, steps, trials
from jnas.training.keys import Stage
from tests.pipeline import tiny_selection

# H1: one edge; the identity, a constant whatever the input, nothing.
TOY = Space(
  name="toy",
  num_inputs=1,
  num_nodes=1,
  ops={"normal": (("skip_connect", "noise", "none"),)},
  concat=(1,),
)


class ToyNet:
  """Logits are the pixels, seen through the one edge."""

  graphs = {"normal": graph.supernet_graph(TOY, "normal")}

  def apply(self, variables, images, weights, **_):
    identity, constant, _ = weights["normal"][0]
    shift = jnp.array([0.3, 0.1, 0.2])
    return identity * images[:, 0, 0] + constant * shift[None]


def toy_search():
  images = batches.Images((0.0,) * 3, (1.0,) * 3, 0, False, 0)
  return SimpleNamespace(
    net=ToyNet(), images=images, has_transit=False, has_bypass=False
  )


def test_the_operation_that_carries_the_labels_is_chosen():
  """H1: against an architecture that prefers nothing at all by +10."""
  labels = np.arange(12, dtype=np.int32) % 3
  pixels = (200 * np.eye(3)[labels]).astype(np.uint8).reshape(12, 1, 1, 3)
  placed = sharding.split(sharding.make_mesh())
  order = trials.order(jax.random.key(0), 12, 5)
  weights_ek = jax.nn.softmax(jnp.array([[0.0, 0.0, 10.0]]))
  call = trials.make_trials(
    toy_search(), varied=("normal",), batch_statistics=False, sharding=placed
  )
  sums, batch = trials.zero_sums(3), jnp.zeros((), jnp.int32)
  for _ in order.index:
    sums, batch = jax.jit(call)(
      {},
      {},
      {"normal": projection.op_trials(weights_ek, 0)},
      jnp.ones(3, bool),
      loader.Resident(jnp.asarray(pixels), jnp.asarray(labels)),
      jax.tree.map(jnp.asarray, order),
      sums,
      batch,
    )
  np.testing.assert_array_equal(sums.count, [12.0] * 3)
  accuracy = sums.correct / sums.count
  # Without the identity all images look alike: a third are right.
  np.testing.assert_allclose(accuracy, [1 / 3, 1.0, 1.0])
  assert projection.pt_select_op(accuracy, jnp.ones(3, bool)) == 0
  assert perturbation.strongest_op(weights_ek[0], (0, 1, 2)) == 2


def test_an_order_holds_every_image_once():
  order = trials.order(jax.random.key(1), 11, 4)
  counted = order.index[order.mask > 0]
  assert sorted(counted) == list(range(11))
  assert not np.array_equal(counted, np.arange(11))
  # What fills up the last batch is other images of the split.
  assert order.mask.sum(axis=-1).tolist() == [4.0, 4.0, 3.0]
  assert len(set(order.index[-1])) == 4


@pytest.fixture(scope="module")
def parts(compile_cache):
  found = problem.prepare(tiny_selection.get_config())
  dataset = problem.load_data(found)
  search = programs.make(found, dataset)
  base_key = keys.base(0, Stage.SEARCH)
  state = programs.init_state(search, base_key, dataset.image_shape)
  state, valid = stage.place(
    state, dataset.valid or dataset.train, batch_size=8
  )
  return search, state, valid


def random_weights(space, num, *, zeros=()):
  weights = {}
  for index, name in enumerate(space.cell_types):
    generator = np.random.default_rng(index)
    value = generator.uniform(0.1, 1, (num, *space.mask(name).shape))
    value = np.where(space.mask(name), value, 0).astype(np.float32)
    for edge, column in zeros:
      value[:, edge, column] = 0
    weights[name] = value
  return weights


@pytest.mark.parametrize("batch_statistics", [False, True])
@pytest.mark.parametrize("varied", [("normal",), ("normal", "reduce")])
def test_trials_measure_what_one_pass_for_each_weights_measures(
  parts, varied, batch_statistics
):
  """H2: the weights count as they are, nothing is renormalised."""
  search, state, valid = parts
  # One edge has no weight at all in any trial, another lacks an operation.
  weights = random_weights(search.space, 2, zeros=((0, 0), (0, 1), (3, 1)))
  given = {
    name: value if name in varied else value[0]
    for name, value in weights.items()
  }
  order = trials.order(jax.random.key(0), 48, 20)
  call = trials.make_trials(
    search,
    varied=varied,
    batch_statistics=batch_statistics,
    sharding=valid.sharding,
  )
  sums, batch = jax.jit(call)(
    state.params,
    state.batch_stats,
    jax.tree.map(jnp.asarray, given),
    jnp.ones(2, bool),
    valid.data,
    jax.tree.map(jnp.asarray, order),
    trials.zero_sums(2),
    jnp.asarray(2),
  )
  assert int(batch) == 3
  evaluate = jax.jit(
    steps.make_search_eval(search, batch_statistics=batch_statistics)
  )
  images = loader.gather(*valid.data, jnp.asarray(order.index[2]))
  for index in range(2):
    wanted = evaluate(
      state.params,
      state.batch_stats,
      {
        name: jnp.asarray(value[index] if name in varied else value[0])
        for name, value in weights.items()
      },
      None,
      images,
      jnp.asarray(order.mask[2]),
    )
    got = jax.tree.map(lambda leaf, i=index: leaf[i], sums)
    assert got.count == wanted.count == 8
    assert got.correct == wanted.correct
    np.testing.assert_allclose(got.loss, wanted.loss, rtol=1e-5)


@pytest.mark.parametrize("batch_statistics", [False, True])
def test_what_fills_up_a_call_is_not_run(parts, batch_statistics):
  search, state, valid = parts
  weights = jax.tree.map(jnp.asarray, random_weights(search.space, 2))
  weights["normal"] = weights["normal"][0]
  order = jax.tree.map(jnp.asarray, trials.order(jax.random.key(0), 48, 20))
  call = jax.jit(
    trials.make_trials(
      search,
      varied=("reduce",),
      batch_statistics=batch_statistics,
      sharding=valid.sharding,
    )
  )
  both, one = (
    call(
      state.params,
      state.batch_stats,
      weights,
      jnp.array(active),
      valid.data,
      order,
      trials.zero_sums(2),
      jnp.zeros((), jnp.int32),
    )[0]
    for active in ([True, True], [True, False])
  )
  np.testing.assert_array_equal(both.count, [20, 20])
  np.testing.assert_array_equal(one.count, [20, 0])
  assert one.loss[0] == both.loss[0] and one.loss[1] == 0
