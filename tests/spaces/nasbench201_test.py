"""SPEC 2.5, 3.10 and 4.7, I2: the space of NAS-Bench-201."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from jnas.genotype import (
  from_nasbench201,
  from_nasbench201_index,
  to_nasbench201,
)
from jnas.spaces import SPACES, Space, nasbench201

SPACE = SPACES["nasbench201"]


def test_the_space_is_the_one_of_the_specification(shared):
  text = (shared / "SPEC.md").read_text()
  (ops,) = re.findall(
    r"^\* 5 operations in this order: ([\w, ]+)\.", text, re.MULTILINE
  )
  assert SPACE.ops == {"normal": (tuple(ops.split(", ")),) * 6}
  (edges,) = re.findall(
    r"^NAS-Bench-201: .* in the order ([\d←, ]+) ", text, re.M
  )
  assert [f"{j}←{i}" for i, j in SPACE.edges] == edges.split(", ")
  assert SPACE.concat == (3,)
  assert not SPACE.pool_norm
  assert SPACE.mask("normal").all()


def test_every_edge_takes_its_strongest_operation_and_none_is_one():
  weights = np.full((6, 5), 0.1)
  #                   0->1     0->2     1->2     0->3     1->3     2->3
  for edge, k in enumerate([0, 3, 1, 4, 0, 2]):
    weights[edge, k] = 0.6
  genotype = nasbench201.derive({"normal": weights}, SPACE)
  assert to_nasbench201(genotype) == (
    "|none~0|+|nor_conv_3x3~0|skip_connect~1|"
    "+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
  )
  assert genotype.space == "nasbench201"


def test_ties_go_to_the_lowest_index():
  weights = np.zeros((6, 5))
  weights[1, 2:4] = 0.5
  genotype = nasbench201.derive({"normal": weights}, SPACE)
  assert to_nasbench201(genotype) == (
    "|none~0|+|nor_conv_1x1~0|none~1|+|none~0|none~1|none~2|"
  )


def test_padding_of_a_short_list_is_never_derived():
  space = Space(
    name="short",
    num_inputs=1,
    num_nodes=2,
    ops={"normal": (("none", "noise"), ("noise",), ("none", "skip_connect"))},
    concat=(2,),
    every_edge=True,
  )
  weights = np.array([[0.2, 0.8], [0.1, 0.9], [0.7, 0.3]])
  genotype = nasbench201.derive({"normal": weights}, space)
  assert genotype.normal.nodes == (
    (("noise", 0),),
    (("noise", 0), ("none", 1)),
  )
  for seed in range(8):
    drawn = nasbench201.sample(jax.random.key(seed), space)
    assert drawn.normal.nodes[1][0] == ("noise", 0)


def test_random_cells_take_every_operation_of_every_edge_equally_often():
  draws = 250
  counts = np.zeros((6, 5))
  keys = jax.random.split(jax.random.key(0), draws)
  for key in keys:
    cell = nasbench201.sample(key, SPACE).normal
    for edge, (_, _, op) in enumerate(cell.connections()):
      counts[edge, SPACE.ops["normal"][edge].index(op)] += 1
  # Binomial with p = 1/5: 4 standard errors.
  assert np.abs(counts - draws / 5).max() < 4 * (draws * 0.2 * 0.8) ** 0.5
  assert nasbench201.sample(keys[0], SPACE) == nasbench201.sample(
    keys[0], SPACE
  )


@pytest.mark.parametrize(
  ("text", "connected"),
  [
    ("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|", True),
    ("|noise~0|+|none~0|noise~1|+|none~0|none~1|avg_pool_3x3~2|", True),
    # The output reads node 2, which reads node 1, which reads nothing.
    ("|none~0|+|none~0|noise~1|+|none~0|none~1|nor_conv_3x3~2|", False),
    ("|noise~0|+|noise~0|noise~1|+|none~0|none~1|none~2|", False),
  ],
)
def test_a_cell_is_valid_if_its_output_depends_on_its_input(text, connected):
  assert from_nasbench201(text).normal.is_connected() == connected


def test_cells_that_are_not_connected_are_those_counted_by_hand():
  # Not connected: no path 0->3. By which of 1 and 2 the input reaches, with
  # 4 of 5 operations on an edge that is there (0->3 never is):
  #   neither: 0->1 and 0->2 are none; 1->2, 1->3, 2->3 are free: 125
  #   1 alone: 0->1 is there (4), 0->2, 1->2 and 1->3 none, 2->3 free: 20
  #   2 alone: 0->2 is there (4), 0->1 and 2->3 none; 1->2 and 1->3 free: 100
  #   both: 0->1 (4), 1->2 or 0->2 (24 of 25), 1->3 and 2->3 none: 96
  expected = 125 + 20 + 100 + 96
  found = sum(
    not from_nasbench201_index(index).normal.is_connected()
    for index in range(15_625)
  )
  assert found == expected


def test_a_network_that_is_not_known_is_one_clear_line():
  assert SPACE.network == "nasbench201"
  assert SPACES["s1"].network == "darts"
  with pytest.raises(ValueError, match="network is 'nasbench'; it must be one"):
    dataclasses.replace(SPACE, network="nasbench")
