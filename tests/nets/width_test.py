"""Partial channels and bottlenecks against plain sums over the edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.nets import cell, count, graph, macro, width
from jnas.nets.options import Options
from jnas.ops import Settings
from jnas.spaces import Space
from tests.nets import small

SKIPS = Space(
  name="skips",
  num_inputs=2,
  num_nodes=2,
  ops={"normal": (("skip_connect",),) * 5},
  concat=(2, 3),
)


def test_the_shuffle_takes_turns_between_groups():
  x = jnp.arange(8)[None]
  # Two groups: 0..3 and 4..7.
  assert width.shuffle(x, 2)[0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
  # Four groups: 01 23 45 67.
  assert width.shuffle(x, 4)[0].tolist() == [0, 2, 4, 6, 1, 3, 5, 7]


def test_a_cell_of_partial_channels_is_the_sum_over_its_edges():
  # PC-DARTS, Eqs. (1) and (2): each edge mixes its first C / 4 channels, lets
  # the others past, shuffles, and is weighted as a whole.
  cell_graph = graph.supernet_graph(SKIPS, "normal")
  plan = macro.CellPlan("normal", 8, 1, halve_first=False)
  module = cell.Cell(
    cell_graph, plan, Settings(False, True), Options(partial_channels=4)
  )
  random = np.random.default_rng(0)
  alphas = random.uniform(0.5, 1, (5, 1)).astype(np.float32)
  betas = random.uniform(0.5, 1, 5).astype(np.float32)
  # The weights of the operations hold the edges' already.
  weights = graph.split_weights(
    cell_graph, jnp.asarray(alphas * betas[:, None])
  )
  variables = small.fill(module, *small.inputs())
  y, state = jax.jit(
    lambda variables: module.apply(
      variables,
      *small.inputs(),
      weights,
      train=True,
      edge_weights=jnp.asarray(betas),
      mutable=["batch_stats", "intermediates"],
      capture_intermediates=lambda module, _: (module.name or "").startswith(
        "input_"
      ),
    )
  )(variables)
  nodes = [
    np.asarray(state["intermediates"][name]["__call__"][0])
    for name in ("input_0", "input_1")
  ]
  edge = 0
  for target in (2, 3):
    total = 0
    for source in range(target):
      mixed = alphas[edge, 0] * nodes[source][..., :2]
      both = np.concatenate([mixed, nodes[source][..., 2:]], axis=-1)
      total = total + betas[edge] * np.asarray(width.shuffle(both, 4))
      edge += 1
    nodes.append(total)
  np.testing.assert_allclose(y, np.concatenate(nodes[2:], -1), atol=1e-5)


def test_channels_that_go_past_a_stride_are_pooled():
  partial = width.PartialChannels(
    graph.supernet_graph(small.SPACE, "reduce"),
    ratio=4,
    edge_weights=jnp.asarray([[2.0, 0, 0, 0, 0], [3.0, 0, 0, 0, 0]]),
    stride=2,
  )
  x = jnp.arange(2 * 2 * 2 * 4.0).reshape(2, 2, 2, 4)
  assert partial.enter(0, x).tolist() == x[..., :1].tolist()
  partial.enter(1, x)
  total = jnp.full((2, 1, 1, 1), 100.0)
  y = partial.leave(2, total, {})
  # The largest of each image is its last pixel; edge 0 counts 2 and 3 times.
  np.testing.assert_array_equal(y[0, 0, 0], [100, 26, 28, 30])
  np.testing.assert_array_equal(y[1, 0, 0], [100, 87, 90, 93])


@pytest.mark.parametrize(
  "options",
  [
    Options(share_features=True),
    Options(engine="first", bottleneck=4),
    Options(engine="half", share_features=True, bottleneck=4),
    Options(partial_channels=4),
    Options(partial_channels=2, share_features=True),
  ],
)
def test_a_network_has_the_parameters_that_are_counted(options):
  net = small.build(options)
  weights = {kind: jnp.zeros(small.SHAPE) for kind in small.SPACE.cell_types}
  transit = weights if options.has_transit else None
  images = jnp.zeros((1, 8, 8, 3))
  params = jax.eval_shape(
    lambda key: net.init(key, images, weights, transit, train=True),
    jax.random.key(0),
  )["params"]
  counted = count.count_supernet(
    small.SPACE, small.PLAN, size=8, image_channels=3, options=options
  )
  assert count.count_params(params) == counted.params
