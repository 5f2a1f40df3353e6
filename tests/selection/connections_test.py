"""Selectors that keep every connection named."""

import numpy as np

from jnas.selection import connections, magnitude, skips
from jnas.spaces import SPACES, Space

SPACE = Space(
  name="two",
  num_inputs=2,
  num_nodes=2,
  ops={"normal": (("none", "skip_connect", "sep_conv_3x3"),) * 5},
  concat=(2, 3),
)


def test_argmax_leaves_out_edges_where_none_is_strongest():
  weights = np.array(
    [
      [0.5, 0.2, 0.3],  # 0 -> 2: none
      [0.6, 0.3, 0.1],  # 1 -> 2: none, so node 2 has nothing
      [0.1, 0.2, 0.7],  # 0 -> 3
      [0.1, 0.6, 0.3],  # 1 -> 3
      [0.2, 0.4, 0.4],  # 2 -> 3: a tie goes to the first
    ]
  )
  found = connections.argmax({"normal": weights}, SPACE).normal
  assert found.nodes == (
    (),
    (("sep_conv_3x3", 0), ("skip_connect", 1), ("skip_connect", 2)),
  )


def test_threshold_keeps_what_is_above_0():
  weights = np.zeros((5, 3))
  weights[0, 1:] = 0.25, 0.75
  weights[3, 2] = 1.0
  found = connections.threshold({"normal": weights}, SPACE).normal
  assert found.nodes == (
    (("skip_connect", 0), ("sep_conv_3x3", 0)),
    (("sep_conv_3x3", 1),),
  )


def test_whole_numbers_say_how_often():
  weights = np.zeros((5, 3))
  weights[1, 2] = 2
  weights[2, 1] = 1
  found = connections.threshold({"normal": weights}, SPACE)
  assert found.normal.nodes == (
    (("sep_conv_3x3", 1), ("sep_conv_3x3", 1)),
    (("skip_connect", 0),),
  )
  again = magnitude.chosen_weights(found, SPACE)["normal"]
  np.testing.assert_array_equal(again, weights)


def test_a_limit_on_skips_forbids_the_weakest_ones():
  space = SPACES["s2"]
  weights = np.full((14, 2), 0.4)
  # Skip connections win everywhere, the more the later the edge.
  weights[:, 0] = 0.5 + np.arange(14) / 100
  weights = {"normal": weights, "reduce": weights}
  free = magnitude.derive(weights, space).normal
  assert sum(op == "skip_connect" for node in free.nodes for op, _ in node) == 8
  kept = skips.limit(magnitude.derive, weights, space, max_skips=2).normal
  left = [op for node in kept.nodes for op, _ in node]
  assert left.count("skip_connect") == 2
  assert [op for op, _ in kept.nodes[3]] == ["skip_connect"] * 2
