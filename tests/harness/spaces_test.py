"""What every entry of `SPACES` owes, and what can be derived in it."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jnas.genotype import validate
from jnas.nets import families, graph
from jnas.ops import OPS
from jnas.selection import magnitude, random
from jnas.spaces import NONE, SPACES, Space, dense_edges

each_space = pytest.mark.parametrize("name", SPACES)
# Of which a derived cell keeps some edges of each node, and `none` never.
each_sparse_space = pytest.mark.parametrize(
  "name", [name for name, space in SPACES.items() if not space.every_edge]
)


@each_space
def test_a_space_names_known_operations_on_every_edge(name):
  space = SPACES[name]
  assert space.name == name
  assert space.op_names <= {*OPS, *families.BLOCKS}
  if space.network != "darts":
    return
  # SPEC 1.3, the table of the edges of a DARTS cell.
  assert space.edges == (
    *((0, 2), (1, 2)),
    *((0, 3), (1, 3), (2, 3)),
    *((0, 4), (1, 4), (2, 4), (3, 4)),
    *((0, 5), (1, 5), (2, 5), (3, 5), (4, 5)),
  )
  assert space.concat == (2, 3, 4, 5)
  assert space.cell_types == ("normal", "reduce")


@each_space
def test_the_mask_is_true_where_an_operation_is(name):
  space = SPACES[name]
  for cell_type, lists in space.ops.items():
    mask = space.mask(cell_type)
    shape = (len(space.edges_of(cell_type)), space.columns(cell_type))
    assert mask.shape == shape
    found = np.zeros_like(mask)
    for op in space.op_names:
      is_op = space.is_op(cell_type, op)
      assert not np.any(found & is_op)
      found |= is_op
      for edge, names in enumerate(lists):
        expected = [k for k, other in enumerate(names) if other == op]
        assert np.flatnonzero(is_op[edge]).tolist() == expected
    np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize(
  "name", [name for name, space in SPACES.items() if not space.chain]
)
def test_the_graph_of_a_supernet_has_every_operation_of_every_edge_once(name):
  space = SPACES[name]
  for cell_type, lists in space.ops.items():
    cell = graph.supernet_graph(space, cell_type)
    found = {
      (member.edge, member.column): (group.source, member.target, group.op)
      for group in cell.groups
      for member in group.members
    }
    expected = {
      (edge, column): (*space.edges[edge], op)
      for edge, names in enumerate(lists)
      for column, op in enumerate(names)
      if op != NONE
    }
    assert found == expected
    assert sum(len(group.members) for group in cell.groups) == len(expected)


def allowed(space, cell_type, source, target):
  edge = space.edges_of(cell_type).index((source, target))
  names = space.ops[cell_type][edge]
  return [name for name in names if name != NONE]


def check_cells(genotype, space):
  """Two distinct sources a node, each with an operation of its edge."""
  validate(genotype, known_ops={*OPS, *families.BLOCKS})
  for cell_type, cell in genotype.cells().items():
    assert cell.concat == space.concat_of(cell_type)
    for node in cell.nodes:
      sources = [source for _, source in node]
      assert len(sources) == len(set(sources)) == space.edges_per_node
    for source, target, op in cell.connections():
      assert op in allowed(space, cell_type, source, target)


@each_sparse_space
@hypothesis.given(seed=st.integers(0, 2**31))
@hypothesis.settings(max_examples=5, deadline=None, derandomize=True)
def test_the_strongest_of_any_weights_is_derived(name, seed):
  space = SPACES[name]
  generator = np.random.default_rng(seed)
  weights = {
    cell_type: jnp.asarray(
      np.where(mask, generator.uniform(0, 1, mask.shape), 2.0), jnp.float32
    )
    for cell_type in space.cell_types
    for mask in [space.mask(cell_type)]
  }
  genotype = magnitude.derive(weights, space)
  check_cells(genotype, space)
  for cell_type, cell in genotype.cells().items():
    for target, node in enumerate(cell.nodes, start=space.num_inputs):
      # By a loop: of each edge its strongest operation, then the two best.
      edges = []
      for edge, (source, into) in enumerate(space.edges_of(cell_type)):
        if into != target:
          continue
        names = space.ops[cell_type][edge]
        strength, column = max(
          (float(weights[cell_type][edge, k]), k)
          for k, op in enumerate(names)
          if op != NONE
        )
        edges.append((strength, names[column], source))
      best = sorted(edges, reverse=True)[: space.edges_per_node]
      assert list(node) == [(op, source) for _, op, source in best]


@each_sparse_space
def test_one_hot_weights_of_a_random_cell_derive_that_cell(name):
  space = SPACES[name]
  genotype = random.sample(jax.random.key(3), space)
  check_cells(genotype, space)
  weights = magnitude.chosen_weights(genotype, space)
  for cell_type, cell in genotype.cells().items():
    assert weights[cell_type].sum() == len(list(cell.connections()))
    assert not np.any(weights[cell_type][~space.mask(cell_type)])
  derived = magnitude.derive(
    {name: jnp.asarray(leaf) for name, leaf in weights.items()}, space
  )
  for cell, again in zip(
    genotype.cells().values(), derived.cells().values(), strict=True
  ):
    assert [set(node) for node in cell.nodes] == [
      set(node) for node in again.nodes
    ]


def test_random_cells_take_every_source_and_operation_equally_often():
  # One node with three sources of two operations, of which it keeps one.
  space = Space(
    name="three",
    num_inputs=3,
    num_nodes=1,
    ops={"normal": ((NONE, "skip_connect", "noise"),) * 3},
    concat=(3,),
    edges_per_node=1,
  )
  draws = 600
  counts = {}
  for key in jax.random.split(jax.random.key(0), draws):
    ((connection,),) = random.sample(key, space).normal.nodes
    counts[connection] = counts.get(connection, 0) + 1
  assert set(counts) == {
    (op, source) for op in ("skip_connect", "noise") for source in range(3)
  }
  # Binomial with p = 1/6: 4 standard errors.
  error = (draws * (1 / 6) * (5 / 6)) ** 0.5
  for value in counts.values():
    assert abs(value - draws / 6) < 4 * error


@hypothesis.given(st.integers(1, 4), st.integers(1, 6))
@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
def test_dense_edges_lists_every_earlier_node_of_every_node(inputs, nodes):
  edges = dense_edges(inputs, nodes)
  assert list(edges) == sorted(set(edges), key=lambda edge: edge[::-1])
  # Sum of the numbers of earlier nodes: inputs + ... + (inputs + nodes - 1).
  assert len(edges) == nodes * inputs + nodes * (nodes - 1) // 2
  assert all(0 <= i < j and inputs <= j < inputs + nodes for i, j in edges)


@pytest.mark.parametrize(
  ("ops", "message"),
  [
    (((), ("noise",)), r"edge 0: operations \(\); at least one is needed"),
    ((("noise",), ("none",) * 2), "edge 1: .* none may occur twice"),
    ((("noise",),), "lists for 1 edges; this cell has 2"),
  ],
)
def test_a_space_without_meaning_is_one_clear_line(ops, message):
  with pytest.raises(ValueError, match=message) as caught:
    Space(
      name="odd", num_inputs=2, num_nodes=1, ops={"normal": ops}, concat=(2,)
    )
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["s1", "s2"])
def test_a_connection_outside_the_space_has_no_weights(name):
  genotype = random.sample(jax.random.key(0), SPACES["s4"])
  with pytest.raises(ValueError, match=f"is not in space '{name}'; allowed"):
    magnitude.chosen_weights(genotype, SPACES[name])
