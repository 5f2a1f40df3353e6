"""Reading run folders, whole, under way and damaged."""

import json
import math

import pytest

from jnas.report import folder, mixing


def test_a_finished_run_is_read_with_all_its_stages(make_run):
  run = folder.read(make_run(epochs=3, retrain_epochs=2, baselines=12))
  assert run.config_hash == "3f2a91c0b7de"
  assert run.setting("search", "epochs") == 3
  assert run.setting("search", "no such field") is None
  assert run.setting("name", "deeper") is None
  assert run.search.numbers() == [0, 1, 2]
  assert run.is_final and run.provenance["step"] == 93
  # Not in the order of text, in which random_10 precedes random_2.
  names = [network.name for network in run.networks]
  assert names == ["searched", *(f"random {i}" for i in range(12))]
  assert all(network.genotype for network in run.networks)


def test_a_run_under_way_shows_what_its_last_epoch_would_derive(make_run):
  run = folder.read(make_run(epochs=4, search_ended=False))
  assert not run.is_final and not run.search.summary
  assert run.genotype == folder.genotype_of(run.search.epochs[-1])
  assert run.networks == ()


def test_a_torn_last_line_is_left_out_and_noted(make_run):
  path = make_run(epochs=3, search_ended=False)
  metrics = path / "search" / "metrics.jsonl"
  text = metrics.read_text()
  metrics.write_text(text[: text.rindex('"genotype"') + 30])
  log = folder.read(path).search
  assert log.numbers() == [0, 1]
  assert log.faults == (
    "line 4 (the last: cut off while being written) of search/metrics.jsonl"
    " cannot be read; left out",
  )


def test_bytes_that_are_no_text_are_left_out_and_noted(make_run):
  path = make_run(epochs=3, search_ended=False)
  metrics = path / "search" / "metrics.jsonl"
  lines = metrics.read_bytes().splitlines()
  metrics.write_bytes(b"\n".join([*lines[:2], b"\xff\x00[1, 2]", *lines[2:]]))
  log = folder.read(path).search
  assert log.numbers() == [0, 1, 2]
  assert "line 3 of search/metrics.jsonl" in log.faults[0]


def test_an_epoch_written_twice_counts_once_as_last_written(tmp_path):
  path = tmp_path / "metrics.jsonl"
  lines = [
    {"kind": "epoch", "epoch": 0, "loss": 1.0},
    {"kind": "epoch", "epoch": 1, "loss": 2.0},
    {"kind": "epoch", "epoch": 1, "loss": 3.0},
  ]
  path.write_text("\n".join(map(json.dumps, lines)))
  assert folder.read_log(path).values("loss") == [1.0, 3.0]


@pytest.mark.parametrize(
  "value", [None, "0.5", True, [1], {"normal": 1}, math.nan]
)
def test_a_metric_that_is_no_number_is_nan(value):
  assert math.isnan(folder.number({"gap": value}, "gap"))
  assert math.isnan(folder.number({}, "gap", "normal"))


def test_damaged_settings_and_genotypes_are_noted(make_run):
  path = make_run(epochs=2, retrain_epochs=0)
  (path / "config.json").write_text("{")
  (path / "genotype.json").write_text('{"format": "jnas.genotype/9"}')
  run = folder.read(path)
  assert run.config == {} and run.config_hash == ""
  assert not run.is_final
  assert "config.json cannot be read" in run.faults[0]
  assert "the genotype cannot be read" in run.faults[1]


def test_what_is_no_run_folder_is_refused(tmp_path):
  with pytest.raises(FileNotFoundError, match="no run folder at"):
    folder.read(tmp_path / "none")
  with pytest.raises(ValueError, match="is not a run folder: it has neither"):
    folder.read(tmp_path)


def test_weights_keep_their_place_where_edges_offer_different_operations():
  log = folder.Log(
    header={
      "edges": {"normal": [[0, 2], [1, 2]]},
      "ops": {"normal": [["skip_connect", "sep_conv_3x3"], ["max_pool_3x3"]]},
    },
    epochs=(
      {"kind": "epoch", "epoch": 0},  # not measured
      # The second row is padded to the length of the first.
      {"epoch": 4, "mixing": {"normal": [[0.25, 0.75], [1.0, 0.0]]}},
    ),
    summary={},
  )
  weights = mixing.read(log, "normal")
  assert weights.ops == ("skip_connect", "sep_conv_3x3", "max_pool_3x3")
  # Counted from 1.
  assert weights.epochs == (5,)
  first, second = weights.values[0]
  assert first[:2] == (0.25, 0.75) and math.isnan(first[2])
  assert math.isnan(second[0]) and second[2] == 1.0
  assert weights.strongest(0) == ("sep_conv_3x3", 0.75)
  assert mixing.read(log, "reduce") is None


def test_the_scale_of_weights_is_of_an_edge_and_common_to_the_cells():
  ops = [["skip_connect", "sep_conv_3x3"], ["max_pool_3x3", "avg_pool_3x3"]]
  even, decided = [[0.5, 0.5], [0.5, 0.5]], [[0.3, 0.7], [0.5, 0.5]]
  log = folder.Log(
    header={
      "edges": {name: [[0, 2], [1, 2]] for name in ("normal", "reduce")},
      "ops": {"normal": ops, "reduce": [[*row, "none"] for row in ops]},
    },
    epochs=({"epoch": 0, "mixing": {"normal": even, "reduce": decided}},),
    summary={},
  )
  # Twice an even share of two operations is 1, though there are four in all;
  # of three it is 2 / 3, less than the 0.7 that is there.
  assert mixing.read(log, "normal").largest == 1
  assert mixing.read(log, "reduce").largest == 0.7
  assert [w.largest for w in mixing.read_all(log)] == [1, 1]


def test_the_cells_of_the_grid_that_an_epoch_derives_are_known(make_run):
  run = folder.read(make_run(epochs=2, retrain_epochs=0))
  weights = mixing.read(run.search, "reduce")
  named = {(*weights.edges[e], weights.ops[k]) for e, k in weights.chosen[-1]}
  genotype = folder.genotype_of(run.search.epochs[-1])
  assert named == set(genotype.reduce.connections())


def test_metrics_without_a_header_get_edges_and_numbered_operations():
  log = folder.Log(
    header={},
    epochs=({"epoch": 0, "mixing": {"normal": [[0.5, 0.5]] * 5}},),
    summary={},
  )
  weights = mixing.read(log, "normal")
  assert weights.edges == ((0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
  assert weights.ops == ("op 0", "op 1")
