"""What the table of NAS-Bench-201 says of a cell; SPEC 2.5."""

import jax
import numpy as np
import pytest

from jnas import bench
from jnas.genotype import (
  Cell,
  Genotype,
  from_nasbench201,
  from_nasbench201_index,
  parse,
  to_nasbench201_index,
)
from jnas.spaces import SPACES, nasbench201
from tests.bench.tables import write_table

BEST = (
  "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
  "+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
)
ALL_SKIP = (
  "|skip_connect~0|+|skip_connect~0|skip_connect~1|"
  "+|skip_connect~0|skip_connect~1|skip_connect~2|"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> bench.Table:
  return bench.load(write_table(tmp_path_factory.mktemp("table") / "made.npz"))


@pytest.fixture(scope="module")
def real(shared) -> bench.Table:
  return bench.load(shared / "data" / "nasbench201.npz")


def test_index_and_genotype_go_back_and_forth(real):
  for index in range(0, 15_625, 100):
    genotype = bench.from_index(real, index)
    assert bench.to_index(real, genotype) == index
    assert bench.lookup(real, genotype).index == index


def test_the_facts_published_of_the_benchmark_are_in_the_real_table(real):
  """The README of the data, "Checked against published facts"."""
  published = {
    "cifar10": (94.37, 94.373),
    "cifar100": (73.51, 73.513),
    "imagenet16": (47.31, 47.311),
    "cifar10_valid": (91.61, 91.607),
  }
  assert set(real.accuracies) == set(published)
  for data_set, (rough, exact) in published.items():
    assert round(real.best(data_set), 2) == rough
    assert real.best(data_set) == pytest.approx(exact, abs=5e-4)
  skip = bench.lookup(real, from_nasbench201(ALL_SKIP))
  assert skip.index == 1835
  assert skip.connected
  found = {name: score.accuracy for name, score in skip.scores.items()}
  assert found == pytest.approx(
    {
      "cifar10": 54.297,
      "cifar10_valid": 39.769,
      "cifar100": 15.607,
      "imagenet16": 16.322,
    },
    abs=5e-4,
  )
  assert (skip.params, skip.macs) == (73_306, 7_783_050)
  assert real.costs["params"].max() == 1_531_546
  assert real.costs["macs"].max() == 220_119_690


def test_ranks_and_regrets_of_the_real_table_are_those_of_its_order(real):
  best = bench.lookup(real, from_nasbench201(BEST)).scores["cifar10"]
  assert (best.rank, best.regret) == (1, 0.0)
  for data_set, accuracies in real.accuracies.items():
    order = np.argsort(-accuracies, kind="stable")
    for place in (0, 1, 100, 7_000, 15_624):
      score = real.score(order[place], data_set)
      # Those of equal accuracy share the rank of the first.
      first = int(np.flatnonzero(accuracies[order] == score.accuracy)[0])
      assert score.rank == first + 1
      assert score.regret == accuracies.max() - score.accuracy


def test_cells_that_are_not_connected_guess(real):
  """Known facts: 10 classes, 100 classes, 120 classes."""
  for key in jax.random.split(jax.random.key(0), 60):
    genotype = nasbench201.sample(key, SPACES["nasbench201"])
    entry = bench.lookup(real, genotype)
    chance = {"cifar10": 10.0, "cifar100": 1.0, "imagenet16": 100 / 120}
    for data_set, expected in chance.items():
      accuracy = entry.scores[data_set].accuracy
      assert (accuracy == pytest.approx(expected, abs=1e-3)) == (
        not entry.connected
      ), (entry.string, data_set)


def test_a_table_in_another_order_finds_each_cell(made):
  for index in (0, 1, 7_777, 15_624):
    entry = bench.lookup(made, from_nasbench201_index(index))
    assert entry.index == 15_624 - index
    score = entry.scores["cifar10"]
    assert score.accuracy == index / 200
    assert score.rank == 15_625 - index
    assert score.regret == pytest.approx((15_624 - index) / 200)
    assert entry.params is entry.macs is None


def test_isomorphic_cells_keep_their_own_rows(real):
  # Both are one 3x3 convolution of the input, by node 1 and by node 2.
  first, second = (
    bench.lookup(real, from_nasbench201(text))
    for text in (
      "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|",
      "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|",
    )
  )
  assert first.index != second.index
  assert first.scores["cifar10"] != second.scores["cifar10"]


def test_an_edge_that_is_not_named_is_none_and_order_does_not_matter(made):
  nodes = (
    (("nor_conv_3x3", 0),),
    (("skip_connect", 1), ("nor_conv_1x1", 0)),
    (("avg_pool_3x3", 2),),
  )
  entry = bench.lookup(made, Genotype(Cell(nodes, (3,), num_inputs=1)))
  assert entry.string == (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
    "+|none~0|none~1|avg_pool_3x3~2|"
  )
  assert to_nasbench201_index(entry.genotype) == 15_624 - entry.index


@pytest.mark.parametrize(
  ("genotype", "message"),
  [
    ("DARTS_V2", "not a NAS-Bench-201 cell: it has one cell type with one"),
    (ALL_SKIP.replace("skip_connect~2", "noise~2"), "'noise' is not an oper"),
    (
      Genotype(
        Cell(
          ((("noise", 0),), (("none", 0), ("noise", 0)), ()),
          (3,),
          num_inputs=1,
        )
      ),
      r"node 2 takes a node twice, in \(\('none', 0\), \('noise', 0\)\)",
    ),
  ],
)
def test_what_is_no_cell_of_the_space_is_one_clear_line(
  made, genotype, message
):
  if isinstance(genotype, str):
    genotype = parse(genotype)
  with pytest.raises(ValueError, match=message) as caught:
    bench.lookup(made, genotype)
  assert "\n" not in str(caught.value)


def test_an_index_or_a_data_set_that_is_not_there_is_one_clear_line(made):
  for index in (-1, 15_625):
    with pytest.raises(ValueError, match=f"{index} is not in 0 to 15624"):
      bench.from_index(made, index)
  with pytest.raises(ValueError, match="'cifar11'; did you mean 'cifar10'"):
    made.best("cifar11")
