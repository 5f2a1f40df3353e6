"""The walk over a cell against a plain loop over its connections."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from jnas.genotype import Cell
from jnas.nets import graph
from jnas.ops import OPS
from jnas.spaces import NONE, Space, dense_edges

# One that answers with one output for all edges, one for each edge apart.
SHARED, APART = "max_pool_3x3", "sep_conv_3x3"
CHANNELS = 2


def value(op, source, position):
  """What the stand-in of an operation multiplies its input by."""
  if op == SHARED:
    return 0.5 + 0.25 * source
  return 1.0 + 0.125 * source - 0.5 * position


def run(group, x):
  count = 1 if group.op == SHARED else len(group.members)
  return jnp.stack(
    [value(group.op, group.source, position) * x for position in range(count)]
  )


def make_inputs(num_inputs, batch=3):
  random = np.random.default_rng(0)
  return [
    jnp.asarray(random.normal(size=(batch, 1, 1, CHANNELS)), jnp.float32)
    for _ in range(num_inputs)
  ]


def loop(num_inputs, num_nodes, concat, inputs, connections):
  """Sums over `(source, target, op, position, weight)`, target by target."""
  nodes = [np.asarray(x, np.float64) for x in inputs]
  for target in range(num_inputs, num_inputs + num_nodes):
    total = np.zeros_like(nodes[0])
    for source, into, op, position, weight in connections:
      if into == target:
        total = total + weight * value(op, source, position) * nodes[source]
    nodes.append(total)
  return np.concatenate([nodes[node] for node in concat], axis=-1)


@st.composite
def cells(draw):
  """Cells with any number of connections a node, twice the same included."""
  inputs = draw(st.integers(1, 3))
  ops = st.sampled_from([SHARED, APART, NONE])
  nodes = tuple(
    tuple(
      draw(
        st.lists(
          st.tuples(ops, st.integers(0, inputs + n - 1)), min_size=0, max_size=5
        )
      )
    )
    for n in range(draw(st.integers(1, 4)))
  )
  own = list(range(inputs, inputs + len(nodes)))
  concat = draw(st.permutations(own).map(lambda order: order[: len(own)]))
  kept = draw(st.integers(1, len(own)))
  return Cell(nodes, tuple(concat[:kept]), inputs)


@hypothesis.given(cells())
@hypothesis.settings(max_examples=30, deadline=None, derandomize=True)
def test_a_derived_cell_is_the_sum_of_its_connections(cell):
  inputs = make_inputs(cell.num_inputs)
  seen = {}
  connections = []
  for source, target, op in cell.connections():
    if op != NONE:
      position = seen[source, op] = seen.get((source, op), -1) + 1
      connections.append((source, target, op, position, 1.0))
  walked = graph.walk(
    graph.derived_graph(cell), inputs, None, run=run, stride=1
  )
  expected = loop(
    cell.num_inputs, len(cell.nodes), cell.concat, inputs, connections
  )
  np.testing.assert_allclose(walked, expected, rtol=1e-5, atol=1e-5)


@st.composite
def spaces(draw):
  """Spaces whose edges have operation lists of their own."""
  inputs, nodes = draw(st.integers(1, 2)), draw(st.integers(1, 3))
  names = (
    st.lists(st.sampled_from([SHARED, APART, NONE]), min_size=1, unique=True)
    .map(tuple)
    .filter(lambda names: names != (NONE,))
  )
  lists = tuple(draw(names) for _ in dense_edges(inputs, nodes))
  return Space(
    name="drawn",
    num_inputs=inputs,
    num_nodes=nodes,
    ops={"normal": lists},
    concat=tuple(range(inputs, inputs + nodes)),
  )


@hypothesis.given(spaces(), st.booleans())
@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
def test_a_supernet_cell_is_the_weighted_sum_of_its_operations(space, by_batch):
  inputs = make_inputs(space.num_inputs, batch=2)
  shape = (len(space.edges), space.num_ops)
  weights = np.random.default_rng(1).normal(size=(2, *shape))
  if not by_batch:
    weights[1] = weights[0]
  cell_graph = graph.supernet_graph(space, "normal")
  walked = graph.walk(
    cell_graph,
    inputs,
    graph.split_weights(
      cell_graph,
      jnp.asarray(weights if by_batch else weights[0], jnp.float32),
    ),
    run=run,
    stride=1,
  )
  for example in range(2):
    seen = {}
    connections = []
    for edge, (source, target) in enumerate(space.edges):
      for column, op in enumerate(space.ops["normal"][edge]):
        if op != NONE:
          position = seen[source, op] = seen.get((source, op), -1) + 1
          connections.append(
            (source, target, op, position, weights[example, edge, column])
          )
    expected = loop(
      space.num_inputs,
      space.num_nodes,
      space.concat,
      [x[example] for x in inputs],
      connections,
    )
    np.testing.assert_allclose(walked[example], expected, rtol=1e-4, atol=1e-4)


def test_each_operation_runs_once_for_each_source():
  # DESIGN, section 4: 5 sources by 7 operations, not 14 edges by 7.
  space = Space(
    name="full",
    num_inputs=2,
    num_nodes=4,
    ops={"normal": (tuple(name for name in OPS if name != NONE)[:7],) * 14},
    concat=(2, 3, 4, 5),
  )
  cell_graph = graph.supernet_graph(space, "normal")
  calls = []

  def counting_run(group, x):
    calls.append((group.source, group.op))
    return x[None]

  jax.eval_shape(
    lambda *inputs: graph.walk(
      cell_graph,
      inputs,
      graph.split_weights(cell_graph, jnp.ones((14, 7))),
      run=counting_run,
      stride=1,
    ),
    *make_inputs(2),
  )
  assert len(calls) == len(set(calls)) == 5 * 7
