"""Two edges of a cell exchanged."""

import numpy as np

from jnas.nets import graph, swap
from tests.pipeline import tiny_selection

SPACE = tiny_selection.SPACE
GRAPH = graph.supernet_graph(SPACE, "normal")


def cell():
  """Numbers that say which edge they belong to; edges 0-1 and 2-4."""

  def conv(*edges):
    return {"sep_conv_3x3": {"kernel": np.array(edges, float)}}

  return {
    "input_0": {"kernel": np.zeros(1)},
    "node_0": conv(0, 2),
    "node_1": conv(1, 3),
    "node_2": conv(4),
  }


def test_edges_of_one_stride_with_the_same_operations_are_swappable():
  pairs = swap.swappable(GRAPH, SPACE.edges)
  assert pairs == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_swapped_edges_have_each_others_numbers():
  swapped = swap.swap_edges(cell(), GRAPH, 0, 3)
  rows = [
    swapped[node]["sep_conv_3x3"]["kernel"].tolist()
    for node in ("node_0", "node_1", "node_2")
  ]
  assert rows == [[3.0, 2.0], [1.0, 0.0], [4.0]]
  again = swap.swap_edges(swapped, GRAPH, 0, 3)
  for node in ("node_0", "node_1"):
    np.testing.assert_array_equal(
      again[node]["sep_conv_3x3"]["kernel"],
      cell()[node]["sep_conv_3x3"]["kernel"],
    )


def test_edges_of_one_node_can_be_swapped_too():
  swapped = swap.swap_edges(cell(), GRAPH, 0, 2)
  assert swapped["node_0"]["sep_conv_3x3"]["kernel"].tolist() == [2.0, 0.0]


def test_what_serves_all_edges_of_a_node_stays():
  shared = cell()
  shared["node_0"]["skip_connect"] = {"mean": np.array([7.0])}
  shared["node_1"]["skip_connect"] = {"mean": np.array([9.0])}
  swapped = swap.swap_edges(shared, GRAPH, 0, 3)
  assert swapped["node_0"]["skip_connect"]["mean"].tolist() == [7.0]
