"""The page and its pictures, for runs of every state."""

import html.parser
import json
import math
import re

import numpy as np
import pytest

from jnas import genotype as genotype_lib
from jnas.genotype import Cell, Genotype
from jnas.report import (
  folder,
  heatmaps,
  markup,
  mixing,
  page,
  picture,
  plots,
)

FEW_OPS = ("none", "skip_connect", "sep_conv_3x3")
VOID = {"meta", "link", "input", "br"}


class Outline(html.parser.HTMLParser):
  """Checks that tags match; keeps texts, identifiers and addresses."""

  def __init__(self, text: str):
    super().__init__()
    self.open: list[str] = []
    self.ids: list[str] = []
    self.targets: list[str] = []
    self.texts: list[str] = []
    self.feed(text)
    assert not self.open

  def handle_starttag(self, tag, attrs):
    if tag not in VOID:
      self.open.append(tag)
    for name, value in attrs:
      if name == "id":
        self.ids.append(value)
      if name in ("src", "href", "xlink:href", "action", "data"):
        self.targets.append(value)

  def handle_startendtag(self, tag, attrs):
    self.handle_starttag(tag, attrs)
    if tag not in VOID:
      self.open.pop()

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] not in ("script", "style"):
      self.texts.append(data)


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch):
  """Most of a report's time goes into pixels, which no test here counts."""
  monkeypatch.setattr(picture, "PNG_DPI", 30)


def write(path) -> Outline:
  """Writes a report and reads its page."""
  index = page.write(path)
  assert index == path / "report" / "index.html"
  return Outline(index.read_text())


def test_a_report_has_every_picture_and_a_page_that_needs_nothing_else(
  make_run,
):
  path = make_run(epochs=3, retrain_epochs=2)
  before = {p: p.stat().st_mtime_ns for p in path.rglob("*") if p.is_file()}
  outline = write(path)
  names = {p.name for p in (path / "report").iterdir()}
  stems = {name.rpartition(".")[0] for name in names} - {"index"}
  assert stems == {
    *(
      f"{s}_{c}" for s in ("cell", "ops", "alpha") for c in ("normal", "reduce")
    ),
    *("search_accuracy", "search_loss", "gap", "entropy", "skip_share"),
    *("training_accuracy", "training_loss"),
  }
  for stem in stems:
    assert {f"{stem}.svg", f"{stem}.png"} <= names
  assert {"cell_normal.dot", "cell_reduce.dot"} <= names
  # Nothing but report/ was touched, and no temporary file was left.
  after = {p: p.stat().st_mtime_ns for p in path.rglob("*") if p.is_file()}
  assert {p: t for p, t in after.items() if p.parent.name != "report"} == before
  assert not [name for name in names if name.startswith(".")]
  assert len(outline.ids) == len(set(outline.ids))

  words = " ".join(outline.texts)
  check_links(outline, path / "report")
  check_words(words, path)


def check_links(outline: Outline, report) -> None:
  """The page needs nothing but itself."""
  for target in outline.targets:
    inner = target.startswith("#") and target[1:] in outline.ids
    beside = (report / target).exists()
    assert inner or beside or target.startswith("data:"), target
  text = (report / "index.html").read_text()
  assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttp|<img", text)
  namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
  assert "http://" not in namespaces and "https://" not in namespaces


def check_words(words: str, path) -> None:
  """The page says what was found, on which split and with what."""
  assert "3f2a91c0b7de" in words and "jax 0.10.2" in words
  assert "never used to fit anything (2,500)" in words
  assert "used to fit the architecture" in words
  genotype = genotype_lib.load(path / "genotype.json")
  assert genotype_lib.to_darts(genotype) in words


@pytest.mark.parametrize(
  "settings",
  [
    {"epochs": 0, "search_ended": False},
    {"epochs": 1, "search_ended": False},
    {"epochs": 1, "retrain_epochs": 0},
    {"epochs": 1, "retrain_epochs": 1, "retrained": False, "baselines": 0},
  ],
)
def test_a_run_with_only_some_stages_has_a_page(make_run, settings):
  path = make_run(ops=FEW_OPS, **settings)
  outline = write(path)
  has_search = settings["epochs"] > 0
  assert ("search" in outline.ids) == has_search
  assert ("cells" in outline.ids) == has_search
  assert ("retraining" in outline.ids) == (
    settings.get("retrain_epochs", 0) > 0
  )


def test_a_run_that_only_has_settings_has_a_page(make_run):
  path = make_run(epochs=1, search_ended=False)
  (path / "search" / "metrics.jsonl").unlink()
  words = " ".join(write(path).texts)
  assert "The search has not ended its first epoch." in words


def test_a_search_that_was_taken_over_is_called_so(make_run):
  path = make_run(epochs=2, retrain_epochs=0)
  assert "Whose search this is" not in write(path).texts
  file = path / "search" / "metrics.jsonl"
  header, *rows = file.read_text().splitlines()
  taken = {"run": "/runs/first", "config_hash": "c0ffee"}
  header = json.dumps(json.loads(header) | {"taken_from": taken})
  file.write_text("\n".join((header, *rows, "")))
  texts = write(path).texts
  assert "Whose search this is" in texts
  assert "taken_from" not in texts and "/runs/first" in texts


def test_names_cannot_break_out_of_the_page(make_run):
  evil = "</script><b onclick=x>&\"'"
  cell = Cell((((evil, 0), ("sep_conv_3x3", 1)),), (2,))
  path = make_run(
    "<i>run",
    epochs=2,
    retrain_epochs=0,
    ops=("skip_connect", evil),
    genotype=Genotype(cell, cell),
  )
  outline = write(path)
  text = (path / "report" / "index.html").read_text()
  assert "<b onclick" not in text and "<i>run" not in text
  assert any(evil in found for found in outline.texts)


def test_metrics_that_are_not_finite_leave_a_page_and_pictures(make_run):
  path = make_run(epochs=3, retrain_epochs=2, ops=FEW_OPS)
  for name in ("search", "evaluate"):
    metrics = path / name / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    for line in lines[2:]:
      for key, value in line.items():
        if isinstance(value, float):
          line[key] = math.nan if name == "search" else None
      if "mixing" in line:
        line["mixing"]["normal"][0] = [None] * 3
    metrics.write_text("\n".join(map(json.dumps, lines)) + '\n{"kind": "ep')
  words = " ".join(write(path).texts)
  assert "In the search not finite: " in words
  assert "cut off while being written" in words


def test_one_cell_type_with_one_input_has_a_page(make_run):
  path = make_run(
    epochs=1,
    retrain_epochs=0,
    ops=FEW_OPS,
    genotype=genotype_lib.from_nasbench201_index(7),
  )
  words = " ".join(write(path).texts)
  assert "Normal cell" in words
  assert not (path / "report" / "cell_reduce.svg").exists()


def test_writing_twice_gives_the_same_bytes(make_run):
  path = make_run(epochs=1, retrain_epochs=0, ops=FEW_OPS)
  page.write(path)
  first = {p.name: p.read_bytes() for p in (path / "report").iterdir()}
  page.write(path)
  assert first == {p.name: p.read_bytes() for p in (path / "report").iterdir()}


def test_a_full_disk_leaves_the_old_page(make_run, monkeypatch):
  path = make_run(epochs=0, search_ended=False)
  index = page.write(path)
  before = index.read_bytes()

  def fail(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(picture.os, "replace", fail)
  with pytest.raises(OSError, match="No space left"):
    page.write(path)
  assert index.read_bytes() == before
  assert not [p for p in index.parent.iterdir() if p.name.startswith(".")]


def test_long_runs_are_thinned_to_their_first_and_last_epochs():
  picks = markup.thin(600)
  assert len(picks) == 120 and picks[0] == 0 and picks[-1] == 599
  assert np.all(np.diff(picks) > 0)
  assert markup.thin(3) == [0, 1, 2]


def test_the_slider_has_the_weights_of_every_epoch_it_shows(make_run):
  run = folder.read(make_run(epochs=300, search_ended=False))
  weights = mixing.read(run.search, "normal")
  text = markup.heat_table(weights, "Normal cell")
  data = json.loads(re.search(r"json\">(.*?)</script>", text)[1])
  assert data["epochs"][0] == 1 and data["epochs"][-1] == 300
  assert (
    len(data["epochs"]) == len(data["values"]) == len(data["chosen"]) == 120
  )
  assert text.count("<td") == len(data["values"][0]) == 14 * 8
  shown = [weights.values[-1][e][k] for e in range(14) for k in range(8)]
  assert data["values"][-1] == [round(1000 * value) for value in shown]
  marked = re.findall(r'<td( class="chosen")?', text)
  assert [i for i, mark in enumerate(marked) if mark] == data["chosen"][-1]


def test_curves_show_the_values_of_the_metrics(make_run):
  run = folder.read(make_run(epochs=5, retrain_epochs=4, baselines=2))
  axes = plots.search_accuracy(run.search).axes[0]
  by_label = {line.get_label(): line.get_ydata() for line in axes.lines}
  assert list(by_label["child, valid"]) == run.search.values("child_accuracy")
  axes = plots.training_accuracy(run.networks).axes[0]
  labels = [line.get_label() for line in axes.lines]
  # Three networks with two lines each; the baselines share their two names.
  assert len(labels) == 6
  assert [name for name in labels if not name.startswith("_")] == [
    "searched, test",
    "searched, train",
    "random, test",
    "random, train",
  ]
  image = heatmaps.heat_maps(mixing.read(run.search, "reduce")).axes[0]
  last = image.collections[0].get_array()[:, -8:]
  assert np.allclose(last, run.search.epochs[-1]["mixing"]["reduce"])


@pytest.mark.parametrize(("epochs", "ticks"), [(1, [1]), (2, [1, 2])])
def test_charts_of_short_runs_have_whole_epochs_on_their_axis(
  make_run, epochs, ticks
):
  run = folder.read(make_run(epochs=epochs, search_ended=False))
  for figure in (
    plots.search_loss(run.search),
    plots.op_counts(run.search, "normal"),
  ):
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    assert [t for t in axes.get_xticks() if low <= t <= high] == ticks


def test_stacked_operations_add_up_to_the_connections(make_run):
  run = folder.read(make_run(epochs=6, search_ended=False))
  axes = plots.op_counts(run.search, "normal").axes[0]
  top = max(
    band.get_paths()[0].vertices[:, 1].max() for band in axes.collections
  )
  assert top == 8


def test_epochs_without_a_measurement_are_bridged():
  log = folder.Log(
    header={},
    epochs=(
      {"epoch": 0, "train_accuracy": 0.1},
      {"epoch": 1, "train_accuracy": 0.2, "valid_accuracy": 0.15},
      {"epoch": 2, "train_accuracy": 0.3},
      {"epoch": 3, "train_accuracy": 0.4, "valid_accuracy": 0.35},
    ),
    summary={},
  )
  lines = plots.search_accuracy(log).axes[0].lines
  assert [list(line.get_xdata()) for line in lines] == [[1, 2, 3, 4], [2, 4]]
  assert plots.gap(log) is None
