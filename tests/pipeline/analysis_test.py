"""PT's analyses of a searched supernet."""

import json

import numpy as np
import pytest

from jnas import cli
from jnas.pipeline import search
from tests.pipeline import tiny_selection

OPS = {"normal": 2, "reduce": 2}


@pytest.fixture(scope="module")
def searched(tmp_path_factory, compile_cache):
  workdir = tmp_path_factory.mktemp("searched")
  search.run(tiny_selection.get_config(), workdir)
  return workdir


def analyze(capfd, what, workdir, *options):
  with pytest.raises(SystemExit) as done:
    cli.main(["analyze", what, str(workdir), *options])
  out, err = capfd.readouterr()
  assert done.value.code == 0, err
  found = json.loads(out)
  written = (workdir / "analysis" / f"{what}.json").read_text()
  assert json.loads(written) == found
  return found


def test_strength_discretises_each_operation_of_some_edges(searched, capfd):
  found = analyze(capfd, "strength", searched, "--edges", "1", "--epochs", "1")
  assert [edge["cell_type"] for edge in found["edges"]] == ["normal", "reduce"]
  for edge in found["edges"]:
    assert len(edge["accuracies"]) == len(edge["ops"]) == len(edge["weights"])
    assert sum(edge["weights"]) == pytest.approx(1, abs=1e-5)
    assert all(0 <= accuracy <= 1 for accuracy in edge["accuracies"])
  for ending in ("svg", "png"):
    picture = searched / "analysis" / f"strength.{ending}"
    assert picture.stat().st_size > 5_000


def test_skip_is_the_mean_lead_over_convolutions(searched, capfd):
  found = analyze(capfd, "skip", searched)
  lines = (searched / "search" / "metrics.jsonl").read_text().splitlines()
  (epoch,) = [r for r in map(json.loads, lines) if r["kind"] == "epoch"]
  weights = np.array(epoch["mixing"]["normal"])
  # The reduction cell has no skip connections.
  assert list(found["difference"]) == ["normal"]
  (lead,) = found["difference"]["normal"]
  assert lead == pytest.approx((weights[:, 0] - weights[:, 1]).mean())
  assert found["valid_accuracy"] == [epoch["valid_accuracy"]]
  assert (searched / "analysis" / "skip.png").stat().st_size > 5_000


def test_shuffle_measures_before_and_after(searched, capfd):
  found = analyze(capfd, "shuffle", searched, "--draws", "3")
  assert len(found["after"]) == 3
  assert found["mean"] == pytest.approx(np.mean(found["after"]))
  assert found["deviation"] == pytest.approx(np.std(found["after"], ddof=1))
