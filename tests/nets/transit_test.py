"""SPEC 4.5, G5 and G8: Transit cells in their three modes."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas import ops
from jnas.nets import cell, graph, loops, supernet
from jnas.nets.options import Options
from tests.nets import small

PLAIN = Options(engine="first")
SHARED = Options(engine="first", share_features=True)
NARROW = Options(engine="first", share_features=True, bottleneck=4)
each_kind = pytest.mark.parametrize("kind", ["normal", "reduce"])


def numbers(kind, options, mode, structure, jit=True, **kwargs):
  module = small.build_cell(kind, options._replace(transit=mode))
  variables = small.fill(module, *small.inputs(), structure)
  run = functools.partial(small.cell_numbers, module, **kwargs)
  if mode == "recompile":
    return jax.jit(lambda variables: run(variables, structure))(variables)
  return jax.jit(run)(variables, jnp.asarray(structure))


@each_kind
@pytest.mark.parametrize("options", [PLAIN, NARROW], ids=["plain", "narrow"])
def test_switched_masked_and_selected_cells_give_the_same_numbers(
  kind, options
):
  wanted = numbers(kind, options, "recompile", small.STRUCTURE)
  for mode in ("mask", "switch"):
    small.assert_close(numbers(kind, options, mode, small.STRUCTURE), wanted)


@pytest.mark.parametrize(
  "options",
  [PLAIN, PLAIN._replace(share_features=True)],
  ids=["apart", "shared"],
)
def test_one_program_serves_every_derived_cell(options):
  modules = [
    small.build_cell("normal", options._replace(transit=mode))
    for mode in ("mask", "switch")
  ]
  variables = small.fill(modules[0], *small.inputs(), small.STRUCTURE)
  masked, switched = (
    jax.jit(functools.partial(small.cell_numbers, module)) for module in modules
  )
  for seed in range(8):
    structure = small.random_structure(seed)
    small.assert_close(
      switched(variables, structure), masked(variables, structure)
    )
  nothing = jnp.zeros(small.SHAPE)
  small.assert_close(switched(variables, nothing), masked(variables, nothing))
  assert jnp.all(switched(variables, nothing)["y"] == 0)
  assert switched._cache_size() == 1


@pytest.mark.parametrize("mode", ["mask", "switch", "recompile"])
def test_statistics_of_operations_that_nothing_selects_stay(mode):
  module = small.build_cell("normal", PLAIN._replace(transit=mode))
  variables = small.fill(module, *small.inputs(), small.STRUCTURE)
  old = variables["batch_stats"]
  new = numbers("normal", PLAIN, mode, small.STRUCTURE)["moved"]
  # Node 0: edges 0-2 and 0-3 both take the separable convolution.
  for name in ("norm_1", "norm_2"):
    leaf = new["node_0"]["sep_conv_3x3"][name]["mean"]
    assert jnp.all(leaf != old["node_0"]["sep_conv_3x3"][name]["mean"])
  # Node 1: the skip connection alone.
  for op in ("sep_conv_3x3", "max_pool_3x3"):
    small.assert_close(new["node_1"][op], old["node_1"][op], tolerance=0)
  small.assert_close(
    new["node_0"]["max_pool_3x3"], old["node_0"]["max_pool_3x3"], tolerance=0
  )


@pytest.mark.parametrize("mode", ["mask", "switch", "recompile"])
def test_bottlenecks_of_nodes_that_nothing_uses_stay_and_are_zero(mode):
  structure = small.STRUCTURE.copy()
  structure[:2] = structure[4] = 0  # node 2 is neither entered nor left
  module = small.build_cell("normal", NARROW._replace(transit=mode))
  variables = small.fill(module, *small.inputs(), structure)
  old = variables["batch_stats"]
  for train in (True, False):
    found = numbers("normal", NARROW, mode, structure, train=train)
    assert jnp.all(found["y"][..., :8] == 0)
    assert jnp.any(found["y"][..., 8:] != 0)
    for name in ("expand_2", "reduce_2", "reduce_1"):
      small.assert_close(found["moved"][name], old[name], tolerance=0)
    moved = found["moved"]["expand_3"]["norm"]["mean"]
    assert jnp.all((moved != old["expand_3"]["norm"]["mean"]) == train)


@pytest.mark.parametrize("options", [PLAIN, NARROW], ids=["plain", "narrow"])
def test_an_engine_cell_of_one_operation_an_edge_is_a_transit_cell(options):
  # G8: all edges, weight 1.
  one_hot = np.eye(len(small.OPS), dtype=np.float32)[[2, 0, 1, 2, 2]]
  engine = small.build_cell("reduce", options, cell.Cell)
  weights = graph.split_weights(engine.graph, jnp.asarray(one_hot))
  transit = small.build_cell("reduce", options._replace(transit="mask"))
  variables = small.fill(transit, *small.inputs(), one_hot)

  @jax.jit
  def run(variables):
    y, _ = engine.apply(
      variables, *small.inputs(), weights, train=True, mutable=["batch_stats"]
    )
    return y

  y = numbers("reduce", options, "mask", one_hot)["y"]
  np.testing.assert_allclose(run(variables), y, atol=1e-5)


def test_drops_are_the_same_in_every_mode():
  options = PLAIN._replace(share_features=False)
  structure = small.STRUCTURE.copy()
  structure[2] = [0, 1, 1]
  scales = jnp.asarray(
    np.random.default_rng(0).integers(0, 3, (3, small.SHAPE[0])), jnp.float32
  )
  found = [
    numbers(
      "normal",
      options,
      mode,
      structure,
      scales=scales,
      drop_skip=jnp.float32(0.4),
      rngs={"drop_skip": jax.random.key(0)},
    )
    for mode in ("recompile", "mask", "switch")
  ]
  small.assert_close(found[1], found[0])
  small.assert_close(found[2], found[0])
  plain = numbers("normal", options, "mask", structure, scales=scales)
  assert jnp.any(jnp.abs(plain["y"] - found[0]["y"]) > 1e-3)


def test_the_gradient_of_alpha_is_that_with_frozen_derived_cells():
  # G5; and a change of alpha that derives the same moves Engine cells only.
  options = Options(engine="first", share_features=True)
  random = np.random.default_rng(0)
  images = jnp.asarray(random.normal(size=(2, 8, 8, 3)), jnp.float32)
  alphas = {
    kind: jnp.asarray(random.normal(size=small.SHAPE), jnp.float32)
    for kind in small.SPACE.cell_types
  }
  structure = dict.fromkeys(alphas, small.STRUCTURE)

  def gradient(mode, transit):
    net = small.build(options._replace(transit=mode))
    variables = small.fill(net, images, alphas, transit)

    @jax.jit
    def run(alphas):
      def loss(alphas):
        weights = jax.tree.map(jax.nn.softmax, alphas)
        logits, _ = net.apply(
          variables,
          images,
          weights,
          transit,
          train=True,
          mutable=["batch_stats"],
        )
        return jnp.sum(jnp.sin(logits))

      return jax.value_and_grad(loss)(alphas)

    return run(alphas)

  frozen = gradient("recompile", supernet.freeze(structure))
  small.assert_close(gradient("switch", structure), frozen)
  for leaf in jax.tree.leaves(frozen[1]):
    assert jnp.any(leaf != 0)


def test_traced_connections_are_refused_where_they_have_to_be_static():
  net = small.build(Options(engine="first", transit="recompile"))
  images = jnp.zeros((1, 8, 8, 3))
  weights = {kind: jnp.zeros(small.SHAPE) for kind in small.SPACE.cell_types}
  with pytest.raises(ValueError, match="freeze"):
    jax.eval_shape(
      lambda weights: net.init(
        jax.random.key(0), images, weights, weights, train=True
      ),
      weights,
    )


class Centre(nn.Module):
  """Takes the running mean away, also in training; counts what it has seen."""

  @nn.compact
  def __call__(self, x, *, train):
    mean = self.variable("batch_stats", "mean", jnp.zeros, (1, x.shape[-1]))
    seen = self.variable("batch_stats", "seen", jnp.zeros, (1,), jnp.bfloat16)
    y = x - mean.value[:, None, None, None]
    if train:
      mean.value = 0.5 * mean.value + 0.5 * jnp.mean(x, (0, 1, 2, 3))[None]
      seen.value = seen.value + 1
    return y


def test_an_operation_that_reads_its_running_statistics(monkeypatch):
  centre = ops.Op(
    lambda *, features, stride, targets, settings, **own: Centre(**own),
    lambda shape, stride, settings: ops.Cost(),
  )
  monkeypatch.setitem(ops.OPS, "skip_connect", centre)
  found = [
    numbers("normal", SHARED, mode, small.STRUCTURE)
    for mode in ("recompile", "mask", "switch")
  ]
  small.assert_close(found[1], found[0])
  small.assert_close(found[2], found[0])
  types = [jax.tree.map(lambda leaf: leaf.dtype, one["moved"]) for one in found]
  assert types[0] == types[1] == types[2]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_what_loops_fill_is_zero_whatever_comes_before(dtype):
  values = [-1.0, 1.0, -0.0, np.nan, -np.nan, np.inf, -np.inf]
  images = jnp.asarray(values, dtype)[None, :, None, None, None]
  run = jax.jit(loops.zeros, static_argnums=0)
  assert run((3, 7, 2, 2, 0), images).shape == (3, 7, 2, 2, 0)
  shape = (3, 7, 2, 2, 4)
  found = run(shape, images)
  assert found.dtype == dtype
  # Were it a constant, XLA would make it before everything else.
  text = run.lower(shape, images).compile().as_text() or ""
  assert "shift-right-logical" in text
  np.testing.assert_array_equal(found.astype(jnp.float32), 0.0)
