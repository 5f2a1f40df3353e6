"""What the report says of a run, in words and numbers."""

import json
import math

import pytest

from jnas.genotype import Cell, Genotype
from jnas.report import findings, folder, sections, tables
from jnas.report import page as page_lib

SKIPS = Cell(((("skip_connect", 0), ("max_pool_3x3", 1)),) * 4, (2, 3, 4, 5))
CONVS = Cell(((("sep_conv_3x3", 0), ("skip_connect", 1)),) * 4, (2, 3, 4, 5))


def change(path, kind, **values):
  """Sets values in the lines of a kind."""
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  for line in lines:
    if line["kind"] == kind:
      line.update(values)
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def run_path(make_run):
  """A finished run: searched 0.885, random ones 0.87 and 0.86."""
  path = make_run(epochs=2, retrain_epochs=2, baselines=2)
  for folder_name, accuracy in (
    ("evaluate", 0.885),
    ("evaluate/random_0", 0.87),
    ("evaluate/random_1", 0.86),
  ):
    metrics = path / folder_name / "metrics.jsonl"
    change(metrics, "summary", test_accuracy=accuracy)
  return path


def set_evaluate(path, **values):
  """Sets fields of the evaluation in a run's config."""
  saved = json.loads((path / "config.json").read_text())
  saved["config"]["evaluate"] |= values
  (path / "config.json").write_text(json.dumps(saved))


def test_the_headline_compares_with_the_mean_of_the_random_cells(run_path):
  run = folder.read(run_path)
  assert findings.status(run) == "complete"
  assert findings.headline(run) == (
    "The cell found reaches 88.50 % test accuracy, 2.00 points above the mean"
    " of 2 random ones trained alike; one cell against 2 tells little of"
    " others."
  )
  # Deviation of 0.87 and 0.86 is 0.01 / sqrt(2).
  tile = findings.tiles(run)[1]
  assert tile.value == "86.50 %"
  assert tile.note == "mean of 2 random cells, deviation 0.71, best 87.00 %"


def test_the_headline_admits_when_a_random_cell_is_better(run_path):
  change(run_path / "evaluate/metrics.jsonl", "summary", test_accuracy=0.8)
  assert "6.50 points below" in findings.headline(folder.read(run_path))


def test_a_random_cell_still_in_training_is_not_compared_with(run_path):
  metrics = run_path / "evaluate/random_1/metrics.jsonl"
  metrics.write_text("".join(metrics.read_text().splitlines(True)[:-1]))
  run = folder.read(run_path)
  # Standard errors on 2,500 images: sqrt(0.885 * 0.115 / 2500) = 0.638 points
  # and sqrt(0.87 * 0.13 / 2500) = 0.673, together 0.927; 1.5 points are 1.618
  # of these, and two-sided p is 0.106.
  assert findings.headline(run).endswith(
    "1.50 points above a random one trained alike, within noise (p = 0.11)."
  )
  assert findings.status(run) == "retraining (random 1): epoch 2 of 2"


@pytest.mark.parametrize(
  ("settings", "status", "headline"),
  [
    (
      {"epochs": 0, "search_ended": False},
      "the search has not ended its first epoch",
      "The search has not ended its first epoch.",
    ),
    (
      {"epochs": 3, "planned": 50, "search_ended": False},
      "search: epoch 3 of 50",
      "The search is at epoch 3 of 50; with the supernet's weights its cell",
    ),
    (
      {"epochs": 3, "retrain_epochs": 0},
      "search ended, retraining not begun",
      "The search has found a cell; with the supernet's weights",
    ),
    (
      {"epochs": 3, "retrain_epochs": 2, "retrained": False},
      "retraining (searched): epoch 2 of 2",
      "The cell found is at ",
    ),
  ],
)
def test_a_run_under_way_says_how_far_it_is(
  make_run, settings, status, headline
):
  run = folder.read(make_run(**settings))
  assert findings.status(run) == status
  assert findings.headline(run).startswith(headline)


def test_cells_without_weights_are_warned_of_by_name(make_run):
  run = folder.read(make_run(epochs=1, genotype=Genotype(CONVS, SKIPS)))
  (warning,) = findings.warnings(run)
  assert warning.startswith(
    "The reduce cell has lost every operation with weights: 4 × skip_connect,"
    " 4 × max_pool_3x3 remain."
  )


def test_metrics_that_were_not_finite_are_named_with_their_first_epoch(
  make_run,
):
  path = make_run(epochs=2, retrain_epochs=2, genotype=Genotype(CONVS, CONVS))
  metrics = path / "search" / "metrics.jsonl"
  # The file has null where a number was not finite.
  change(metrics, "epoch", valid_loss=None, entropy={"normal": None})
  (warning,) = findings.warnings(folder.read(path))
  assert warning == (
    "In the search not finite: valid_loss (epoch 1), entropy (epoch 1)."
  )


def test_an_accuracy_without_a_baseline_is_warned_of(make_run):
  path = make_run(
    epochs=1, retrain_epochs=2, baselines=0, genotype=Genotype(CONVS, CONVS)
  )
  (warning,) = findings.warnings(folder.read(path))
  assert warning.startswith("No random cell has been trained alike yet")
  set_evaluate(path, random_baselines=0)
  (warning,) = findings.warnings(folder.read(path))
  assert warning.startswith("No random cell was to be trained alike:")


def test_inherited_weights_and_a_dead_output_are_warned_of(make_run):
  dead = Cell(((("none", 0), ("none", 1)), (("sep_conv_3x3", 2),)), (2, 3))
  path = make_run(epochs=1, retrain_epochs=2, genotype=Genotype(CONVS, dead))
  change(path / "evaluate/metrics.jsonl", "summary", inherited=True)
  assert findings.warnings(folder.read(path)) == [
    "The output of the reduce cell depends on no input.",
    "The searched network started from the supernet's weights.",
  ]


def test_the_final_table_has_every_number_with_its_split(run_path):
  table = tables.results(folder.read(run_path))
  assert table.columns == ("searched", "random 0", "random 1")
  rows = {row.label: row for row in table.rows}
  assert rows["Test accuracy, last epoch"].note == "test: 2,500 images"
  assert rows["Test accuracy, last epoch"].values == (
    "88.50 %",
    "87.00 %",
    "86.00 %",
  )
  # sqrt(0.885 * 0.115 / 2500) = 0.00638.
  assert rows["Its standard error"].values[0] == "± 0.64"
  assert "picked on test" in rows["Test accuracy, best epoch"].note
  assert rows["Parameters"].values[0] == "3,349,342"
  assert rows["Multiply-adds, extended"].values[0] == "547,130,880"
  assert rows["Wall time"].values[0] == "17.8 s"
  assert rows["Peak memory, compiled"].values[0] == "2.00 GiB"
  assert rows["Seed"].values == ("0", "0", "0")


def test_the_search_table_says_valid_where_the_architecture_was_fitted(
  run_path,
):
  rows = {row.label: row for row in tables.search(folder.read(run_path)).rows}
  assert rows["Supernet's accuracy"].note == "valid: 5,000 images"
  assert rows["Child's accuracy"].note.startswith("valid: 5,000 images")
  assert rows["Parameters of the supernet"].values == ("1,930,618",)
  assert rows["Epochs"].values == ("2",)


def test_rows_that_no_network_knows_yet_are_left_out(make_run):
  path = make_run(epochs=1, retrain_epochs=2, retrained=False)
  labels = {row.label for row in tables.results(folder.read(path)).rows}
  assert "Test accuracy, last epoch" in labels
  assert "Parameters" not in labels


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_parameters_of_the_head_are_shown_where_there_is_one(make_run, weight):
  path = make_run(epochs=1, retrain_epochs=2)
  set_evaluate(path, auxiliary_weight=weight)
  table = tables.results(folder.read(path))
  rows = {row.label: row.values[0] for row in table.rows}
  assert rows["Parameters"] == "3,349,342"
  assert ("Parameters, training" in rows) == (weight > 0)


@pytest.mark.parametrize(
  ("form", "value", "text"),
  [
    (tables.percent, 0.88125, "88.12 %"),
    (tables.percent, math.nan, "–"),
    (tables.points, -0.0125, "−1.25 points"),
    (tables.count, 1930618.0, "1,930,618"),
    (tables.short_count, 3349342.0, "3.35 M"),
    (tables.short_count, 999.0, "999"),
    (tables.duration, 59.96, "60.0 s"),
    (tables.duration, 61.2, "1 min 1 s"),
    (tables.duration, 3 * 3600 + 59.0, "3 h 0 min"),
    (tables.duration, 50 * 3600.0, "2 d 2 h"),
    (tables.size, 2.0**29, "512 MiB"),
    (tables.size, math.nan, "–"),
  ],
)
def test_numbers_are_written_for_people(form, value, text):
  assert form(value) == text


def give(path, **provenance):
  """Makes a run one whose genotype was given."""
  file = path / "genotype.json"
  saved = json.loads(file.read_text())
  saved["provenance"] = {"step": 0, **provenance}
  file.write_text(json.dumps(saved))
  (path / "search" / "metrics.jsonl").unlink()


def test_a_given_cell_is_not_called_found(run_path):
  give(run_path)
  run = folder.read(run_path)
  assert findings.status(run) == "complete"
  assert findings.headline(run).startswith("The cell given reaches 88.50 %")
  assert tables.results(run).columns == ("given", "random 0", "random 1")


def test_a_given_cell_in_training_says_how_far_it_is(make_run):
  path = make_run(epochs=1, retrain_epochs=2, retrained=False, baselines=0)
  give(path)
  run = folder.read(path)
  assert findings.status(run) == "training (given): epoch 2 of 2"
  assert findings.headline(run).startswith("The cell given is at ")
  (path / "evaluate/metrics.jsonl").unlink()
  run = folder.read(path)
  assert findings.status(run) == "cell given, training not begun"
  assert findings.headline(run) == (
    "The cell was given; its training has not ended its first epoch."
  )


def test_a_given_cell_without_weights_is_no_collapsed_search(make_run):
  path = make_run(
    epochs=1, retrain_epochs=1, genotype=Genotype(CONVS, SKIPS), baselines=0
  )
  give(path)
  assert findings.warnings(folder.read(path)) == [
    "The reduce cell has no operation with weights: it has"
    " 4 × skip_connect, 4 × max_pool_3x3.",
    "No random cell has been trained alike yet: the accuracy alone does not"
    " say what the cell is worth.",
  ]


def test_the_page_says_where_a_given_cell_is_from(run_path):
  give(run_path, found={"file": "runs/a/genotype.json", "seed": 3})
  page = sections.body(
    folder.read(run_path), page_lib.draw(folder.read(run_path))
  )
  assert "cell given: runs/a/genotype.json, seed 3, on fashion_mnist" in page
  assert "darts, on" not in page
  assert "supernet" not in page.partition('<dl class="splits">')[2][:400]
