"""Every name that can be given has a line that says what it is."""

import pytest

from jnas.pipeline import listing


@pytest.mark.parametrize("what", listing.TABLES)
def test_every_entry_has_a_line(what):
  for name, line in listing.describe(what).items():
    assert len(line) > 10, name
    assert "\n" not in line


def test_a_line_counts_what_an_operation_has():
  # Twice 9 weights for each of 16 channels and a 16 x 16 matrix.
  params = 2 * (9 * 16 + 16 * 16)
  madds = params * 32 * 32 / 1e6
  assert listing.describe("ops")["sep_conv_3x3"] == (
    f"{params} parameters, {madds:.2f} M multiply-adds on 16 channels of 32x32"
  )


def test_a_line_on_a_space_and_on_a_cell():
  lines = listing.describe("spaces")
  assert lines["nasbench201"] == "normal: 6 edges of 5 operations"
  assert lines["mbconv"] == (
    "normal: 15 layers of 7 operations; reduce: 6 layers of 6 operations"
  )
  assert listing.describe("cells")["darts_pt_s4_1"] == (
    "normal: 8 sep_conv_3x3; reduce: 8 sep_conv_3x3"
  )


def test_a_published_set_is_described_without_being_there():
  assert listing.describe("datasets")["cifar100"] == (
    "50,000 and 10,000 images, 100 classes; prepared by TFDS"
  )


def test_a_config_is_described_without_being_run(tmp_path):
  path = tmp_path / "mine.py"
  path.write_text('"""My search.\n\nMore."""\nraise SystemExit(3)\n')
  _, line = listing.TABLES["configs"]
  assert line(path) == "My search."
