"""SPEC 4.7, I3: exact counts of the networks of NAS-Bench-201."""

import json

import numpy as np
import pytest

from jnas import genotype as genotypes
from jnas.genotype import Cell, Genotype
from jnas.nets import nasbench201

ALL_SKIP = (
  "|skip_connect~0|+|skip_connect~0|skip_connect~1|"
  "+|skip_connect~0|skip_connect~1|skip_connect~2|"
)


def test_counts_equal_those_of_the_authors_networks(shared):
  path = shared / "oracles" / "reference_genotypes.json"
  reference = json.loads(path.read_text())["nasbench201"]
  compared = 0
  for text, entry in reference.items():
    for kind, expected in entry.items():
      if not kind.startswith("classes_"):
        continue
      counted = nasbench201.count_network(
        genotypes.parse(text),
        size=expected["input"],
        num_classes=int(kind.removeprefix("classes_")),
      )
      assert counted.params == counted.params_with_aux == expected["params"]
      assert counted.madds == expected["madds"], (text, kind)
      compared += 1
  # Four cells, with 10 and 100 classes at 32x32 and with 120 at 16x16.
  assert compared >= 12


def test_counts_of_all_15625_cells_equal_the_table(shared):
  with np.load(shared / "data" / "nasbench201.npz") as table:
    strings, params, macs = table["arch_str"], table["params"], table["macs"]
  assert len(set(strings)) == 15_625
  for text, expected_params, expected_macs in zip(
    strings, params, macs, strict=True
  ):
    counted = nasbench201.count_network(
      genotypes.from_nasbench201(str(text)), size=32, num_classes=10
    )
    assert counted.params == expected_params, text
    # The benchmark adds the ten biases of the classifier.
    assert counted.madds + 10 == expected_macs, text


def test_counts_of_a_cell_without_weights_are_those_worked_out_by_hand():
  counted = nasbench201.count_network(
    genotypes.parse(ALL_SKIP),
    size=4,
    num_classes=3,
    features=2,
    cells_per_stage=7,
    image_channels=1,
  )
  # Stem: 9*1*2 weights, 2*2 of the norm, on 4x4 pixels.
  stem = (9 * 1 * 2 + 4, 16 * 18)
  # Blocks: 3x3 to twice the channels, 3x3, 1x1 shortcut; two norms.
  first = (9 * 2 * 4 + 9 * 4 * 4 + 2 * 4 + 16, 4 * (72 + 144 + 8))
  second = (9 * 4 * 8 + 9 * 8 * 8 + 4 * 8 + 32, 1 * (288 + 576 + 32))
  # Last norm of 8 channels; classifier of 8 by 3 and 3 biases.
  head = (16 + 8 * 3 + 3, 8 * 3)
  parts = (stem, first, second, head)
  assert counted.params == sum(params for params, _ in parts)
  assert counted.madds == sum(madds for _, madds in parts)
  # Norms put out 4*4*2, then 2 * 2*2*4, then 2 * 8, then 8 numbers; the ReLUs
  # 4*4*2 and 2*2*4, then 2*2*4 and 8, then 8.
  norms, relus = 32 + 32 + 16 + 8, 32 + 16 + 16 + 8 + 8
  assert counted.madds_ext == counted.madds + 2 * norms + relus


@pytest.mark.parametrize("op", ["nor_conv_1x1", "nor_conv_3x3"])
def test_one_convolution_more_costs_its_kernel_and_norm_in_every_cell(op):
  one_more = ALL_SKIP.replace("skip_connect~2", f"{op}~2")
  plain, other = (
    nasbench201.count_network(
      genotypes.parse(text), size=8, num_classes=10, features=4
    )
    for text in (ALL_SKIP, one_more)
  )
  taps = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}[op]
  # Five cells at 8x8x4, five at 4x4x8, five at 2x2x16.
  weights = [taps * c * c for c in (4, 8, 16)]
  pixels = [64, 16, 4]
  assert other.params - plain.params == 5 * sum(
    w + 2 * c for w, c in zip(weights, (4, 8, 16), strict=True)
  )
  assert other.madds - plain.madds == 5 * sum(
    w * p for w, p in zip(weights, pixels, strict=True)
  )


def test_operations_that_reach_nothing_count_and_none_does_not():
  used, unused, cut = (
    nasbench201.count_network(genotypes.parse(text), size=32, num_classes=10)
    for text in (
      "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|",
      "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|",
      "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    )
  )
  assert unused == used
  # 5 cells of 9 C C + 2 C at C = 16, 32, 64.
  assert used.params - cut.params == 5 * (9 * (256 + 1024 + 4096) + 2 * 112)


def test_any_cell_with_one_input_and_one_output_is_counted():
  node = (("nor_conv_3x3", 0), ("nor_conv_1x1", 0), ("avg_pool_3x3", 0))
  counted = nasbench201.count_network(
    Genotype(Cell((node,), (1,), num_inputs=1)), size=8, num_classes=10
  )
  bare = nasbench201.count_network(
    Genotype(Cell(((("none", 0),),), (1,), num_inputs=1)),
    size=8,
    num_classes=10,
  )
  # 5 cells of (9 + 1) C C + 2 * 2 C at C = 16, 32, 64.
  assert counted.params - bare.params == 5 * (10 * 5376 + 4 * 112)


def test_what_the_network_cannot_take_is_one_clear_line():
  with pytest.raises(ValueError, match="one cell type, with one input"):
    nasbench201.count_network(
      genotypes.parse("DARTS_V2"), size=32, num_classes=10
    )
  cell = genotypes.parse(ALL_SKIP)
  for size in (0, 2, 30, 33):
    with pytest.raises(ValueError, match=rf"{size}x{size}: .* multiples of 4"):
      nasbench201.count_network(cell, size=size, num_classes=10)
  with pytest.raises(ValueError, match="cells_per_stage is 0; it must be"):
    nasbench201.count_network(cell, size=32, num_classes=10, cells_per_stage=0)
  with pytest.raises(ValueError, match="num_classes is -1; it must be"):
    nasbench201.count_network(cell, size=32, num_classes=-1)
