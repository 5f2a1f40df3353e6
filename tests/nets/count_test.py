"""SPEC 4.1, A7 to A9: exact counts of published cells and supernets."""

import json

import pytest

from jnas import genotype as genotypes
from jnas.nets import count, macro
from jnas.ops import Cost, Settings
from jnas.spaces import SPACES

FIELDS = ("params", "params_with_aux", "madds", "madds_ext")


@pytest.fixture(scope="module")
def reference(shared):
  path = shared / "oracles" / "reference_genotypes.json"
  return json.loads(path.read_text())


@pytest.mark.parametrize("name", genotypes.published())
def test_counts_equal_those_of_the_authors_networks(reference, name):
  entry = reference["genotypes"][name]
  authors = entry.get("counts_authors_network")
  counts = authors or {**entry["counts"], **entry.get("counts_small", {})}
  genotype = genotypes.parse(name)
  compared = 0
  for kind, expected in counts.items():
    is_imagenet = "imagenet" in kind
    counted = count.count_derived(
      genotype,
      macro.plan(
        num_cells=expected["layers"],
        features=expected["C"],
        num_classes=expected["num_classes"],
        stem="imagenet" if is_imagenet else "cifar",
      ),
      size=224 if is_imagenet else 32,
      image_channels=3,
      settings=Settings(affine=True, pool_norm=authors is not None),
    )
    for field in FIELDS:
      if field in expected:
        assert getattr(counted, field) == expected[field], (kind, field)
        compared += 1
  assert compared >= 3


@pytest.mark.parametrize(
  ("space", "entry"),
  [
    ("darts", "darts_8ops"),
    ("darts_no_none", "darts_7ops_no_none"),
    ("s2", "s2"),
    ("s3", "s3"),
  ],
)
def test_counts_of_supernets_equal_those_of_the_authors(
  reference, space, entry
):
  for expected in reference["supernets"]["darts_cell_space"][entry]:
    counted = count.count_supernet(
      SPACES[space],
      macro.plan(
        num_cells=expected["layers"],
        features=expected["C"],
        num_classes=expected["num_classes"],
        stem="cifar",
      ),
      size=32,
      image_channels=3,
    )
    assert counted.params == expected["params"]
    assert counted.madds == expected["madds"]


def test_the_supernet_of_unas_has_the_counted_parameters(reference):
  entry = reference["supernets"]["unas_darts_space_7ops_C16_8cells_10cls"]
  plan = macro.plan(num_cells=8, features=16, num_classes=10, stem="cifar")
  counted = count.count_supernet(
    SPACES["unas_cifar"], plan, size=32, image_channels=3
  )
  assert counted.params == entry["params"]


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_multiply_adds_follow_the_pixels_and_parameters_do_not(stem):
  plan = macro.plan(num_cells=8, features=16, num_classes=10, stem=stem)
  genotype = genotypes.parse("DARTS_V2")
  small, large = (
    count.count_derived(genotype, plan, size=size, image_channels=3)
    for size in (64, 128)
  )
  assert small.params == large.params
  # All but the classifier: four nodes of 64 channels, by 10 classes.
  linear = 4 * 64 * 10
  assert large.madds - linear == 4 * (small.madds - linear)


def test_costs_add_up():
  # 2 * 3 + 4 on top of the multiply-adds.
  first = Cost(params=1, madds=2, norm_elements=3, relu_elements=4)
  assert first.madds_ext == 12
  assert first.plus(first, Cost(params=5)) == Cost(7, 4, 6, 8)
  assert first.plus() == first
