"""SPEC 4.1, A7 and A8: exact counts of the published cells."""

import json

import pytest

from jnas import genotype as genotypes
from jnas.nets import count, macro
from jnas.ops import Settings

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
