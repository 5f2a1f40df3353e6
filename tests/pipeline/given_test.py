"""What a run that was given its genotype says of where that is from."""

import dataclasses

from jnas import genotype as genotypes
from jnas.pipeline import folder
from tests.pipeline import tiny


def test_a_given_genotype_keeps_who_found_it_however_often_it_is_handed_on(
  tmp_path,
):
  run = folder.RunFolder(tmp_path, tiny.get_config())
  cells = genotypes.parse("DARTS_V2")
  source = {"config_hash": "0123456789ab", "seed": 7, "step": 31}
  genotypes.save(tmp_path / "found.json", cells, source)
  wanted = {"file": str(tmp_path / "found.json"), **source}

  first = folder.given(run, genotypes.load(tmp_path / "found.json"))
  assert (first["step"], first["config_hash"]) == (0, run.hash)
  assert first["found"] == wanted

  genotypes.save(tmp_path / "again.json", cells, first)
  second = folder.given(run, genotypes.load(tmp_path / "again.json"))
  assert second["found"] == wanted
  # The way between processes keeps it too.
  third = folder.find_genotype(tmp_path / "found.json")
  assert third is not None and folder.given(run, third)["found"] == wanted


def test_a_genotype_of_unknown_origin_says_only_that_it_was_given(tmp_path):
  run = folder.RunFolder(tmp_path, tiny.get_config())
  cells = dataclasses.replace(genotypes.parse("DARTS_V2"), origin=None)
  assert folder.given(run, cells) == folder.provenance(run, 0)
