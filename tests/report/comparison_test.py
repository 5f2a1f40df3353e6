"""Several runs side by side: groups, numbers, the page, the command."""

import json
import math
import pathlib
import re
import shutil
from xml.etree import ElementTree

import pytest

from jnas import cli
from jnas.report import (
  comparison,
  comparison_parts,
  comparison_words,
  groups,
  orders,
  picture,
  published,
  random_cells,
  scatter,
  trajectories,
)
from jnas.report import rows as rows_lib
from tests.report.page_test import Outline


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch):
  monkeypatch.setattr(picture, "PNG_DPI", 30)


@pytest.fixture
def make_compared(make_run):
  """A function that writes a run folder with the numbers that count."""

  def make(
    name: str,
    seed: int,
    *,
    accuracy: float,
    random: float = 0.85,
    supernet: float = 0.7,
    child: float = 0.5,
    method: str = "darts",
    devices: int | None = None,
    **config: object,
  ) -> pathlib.Path:
    path = make_run(f"{name}-s{seed}", epochs=1, retrain_epochs=1, seed=seed)
    file = path / "config.json"
    settings = json.loads(file.read_text())
    settings["config"] |= {"name": name, "seed": seed, **config}
    settings["config"]["method"]["name"] = method
    file.write_text(json.dumps(settings))
    told = {"devices": devices} if devices else {}
    change(
      path / "search", valid_accuracy=supernet, child_accuracy=child, **told
    )
    change(path / "evaluate", test_accuracy=accuracy, seed=seed, **told)
    change(path / "evaluate" / "random_0", test_accuracy=random, seed=seed)
    return path

  return make


def change(stage: pathlib.Path, **fields) -> None:
  """Fields of a stage's summary."""
  file = stage / "metrics.jsonl"
  *lines, last = file.read_text().splitlines()
  last = json.dumps(json.loads(last) | fields)
  file.write_text("\n".join([*lines, last]) + "\n")


def test_runs_that_differ_in_the_seed_alone_are_one_group(make_compared):
  paths = [
    make_compared("a", 1, accuracy=0.92, random=0.89),
    make_compared("b", 0, accuracy=0.95, method="snas"),
    make_compared("a", 0, accuracy=0.90, random=0.88),
    make_compared("a", 2, accuracy=0.97, random=0.94),
  ]
  found = groups.read(paths)
  assert [group.label for group in found] == ["a (darts)", "b (snas)"]
  first = found[0]
  assert [member.seed for member in first.members] == [0, 1, 2]
  # As in stats_test: mean 0.93, deviation sqrt(13e-4).
  summary = first.summary("accuracy")
  assert summary.mean == pytest.approx(0.93)
  assert summary.deviation == pytest.approx(math.sqrt(13e-4))
  assert (summary.best, summary.count) == (0.97, 3)
  # Differences from random 0.02, 0.03, 0.03: mean 8/3 points, deviation
  # sqrt((4 + 1 + 1) / 9 / 2) = 0.57735 points, t = 8/3 / (1/3) = 8.
  paired = first.against_random
  assert paired.difference == pytest.approx(0.08 / 3)
  assert paired.t == pytest.approx(8) and paired.count == 3


def test_losses_are_drawn_for_each_group_and_seed(make_run, tmp_path):
  paths = []
  for name, seed, epochs in (("a", 0, 4), ("a", 1, 4), ("b", 0, 3)):
    path = make_run(f"{name}-s{seed}", epochs=epochs, seed=seed)
    file = path / "config.json"
    settings = json.loads(file.read_text())
    settings["config"] |= {"name": name, "seed": seed}
    file.write_text(json.dumps(settings))
    file = path / "search" / "metrics.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
      if line["kind"] == "epoch":
        line["train_loss"] = 1.0 / (line["epoch"] + 1)
        line["valid_loss"] = line["train_loss"] + 0.1 * line["epoch"] + seed
      if line.get("epoch") == 1:
        del line["valid_loss"]  # not every epoch is validated
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    paths.append(path)
  found = groups.read(paths)
  figures = trajectories.losses(found)
  assert list(figures) == ["loss", "excess"]
  drawn = {
    line.get_label(): line
    for line in figures["excess"].axes[0].lines
    if not line.get_label().startswith("_")
  }
  assert list(drawn) == ["a (darts)", "b (darts)"]
  xs, ys = drawn["a (darts)"].get_data()
  assert list(xs) == [1, 3, 4]
  assert list(ys) == pytest.approx([0.5, 0.7, 0.8])  # of seeds 0 and 1
  assert len(figures["loss"].axes[0].lines) == 4  # two seeds and two means
  (legend,) = figures["loss"].legends
  assert [text.get_text() for text in legend.get_texts()] == list(drawn)
  comparison.write(paths, tmp_path / "out")
  assert {"loss.svg", "loss.png", "excess.svg", "excess.png"} <= {
    path.name for path in (tmp_path / "out").iterdir()
  }
  text = (tmp_path / "out" / "index.html").read_text()
  assert 'href="#losses"' in text and "excess.svg" in text


def test_searches_of_one_epoch_have_no_losses_to_draw(make_compared):
  found = groups.read([make_compared("a", 0, accuracy=0.9)])
  assert trajectories.losses(found) == {}


def test_a_random_cell_that_two_methods_trained_counts_once(make_compared):
  paths = [
    make_compared("a", 0, accuracy=0.9, random=0.85),
    make_compared("b", 0, accuracy=0.9, random=0.85, method="snas"),
    make_compared("b", 1, accuracy=0.9, random=0.87, method="snas"),
  ]
  (line,) = random_cells.read(groups.read(paths))
  assert line.accuracies == (0.85, 0.87)
  assert line.seeds == (0, 1)


def test_runs_of_one_cell_are_retrainings_of_it(make_compared):
  first = make_compared("a", 0, accuracy=0.90, random=0.88)
  again = make_compared("a", 5, accuracy=0.92, random=0.88)
  other = make_compared("a", 1, accuracy=0.97, random=0.90)
  shutil.copy(first / "genotype.json", again)
  (group,) = groups.read([first, again, other])
  # The numbers of inference_test.
  assert group.components.retrain == pytest.approx(math.sqrt(2e-4))
  assert group.components.search == pytest.approx(math.sqrt(16.5e-4))
  # Each search counts: 2, 4 and 7 points above its random cells.
  assert group.against_random.count == 3
  assert group.against_random.difference == pytest.approx(0.13 / 3)
  assert group.summary("accuracy").mean == pytest.approx(2.79 / 3)


def give(path: pathlib.Path, source: pathlib.Path, **found) -> None:
  """Makes a run one that was given the genotype of another."""
  genotype = json.loads((source / "genotype.json").read_text())
  genotype["provenance"] = {"step": 0, "found": found}
  (path / "genotype.json").write_text(json.dumps(genotype))
  shutil.rmtree(path / "search")


def change_evaluate(path: pathlib.Path, **fields) -> None:
  """Fields of the evaluation in a run's config."""
  file = path / "config.json"
  settings = json.loads(file.read_text())
  settings["config"]["evaluate"] |= fields
  file.write_text(json.dumps(settings))


@pytest.fixture
def retrained(make_compared):
  """Two cells of SNAS, the first trained thrice, twice with DARTS's config."""
  first = make_compared("b", 0, accuracy=0.90, random=0.88, method="snas")
  paths = [
    make_compared("a", 3, accuracy=0.80, random=0.88),
    first,
    make_compared("b", 1, accuracy=0.97, random=0.90, method="snas"),
  ]
  for seed, accuracy in ((5, 0.92), (6, 0.88)):
    again = make_compared("again", seed, accuracy=accuracy, random=0.5)
    give(again, first)
    paths.append(again)
  change_evaluate(paths[-1], random_baselines=0)
  shutil.rmtree(paths[-1] / "evaluate" / "random_0")
  return paths


def test_a_run_that_was_given_its_cell_belongs_to_the_search_of_it(retrained):
  darts, snas = groups.read(retrained)
  assert [m.seed for m in darts.members] == [3]
  assert [m.seed for m in snas.members] == [0, 1, 5, 6]
  # A cell counts once: (0.90 + 0.92 + 0.88) / 3 = 0.90, and 0.97.
  summary = snas.summary("accuracy")
  assert summary.mean == pytest.approx(0.935) and summary.count == 2
  assert summary.deviation == pytest.approx(0.07 / math.sqrt(2))
  # Against the random cells of the seeds that searched: 2 and 7 points. So
  # the mean of the cells is as far above that of those, 0.89.
  assert snas.against_random.difference == pytest.approx(0.045)
  assert snas.against_random.count == 2
  row = rows_lib.make([darts, snas])[1]
  assert (row.trainings, row.accuracy.best, row.best_run) == (4, 0.97, "b-s1")
  assert row.search_hours.count == 2


def test_the_page_counts_cells_and_trainings_and_draws_a_cell_once(
  retrained, tmp_path
):
  text = comparison.write(retrained, tmp_path / "out").read_text()
  assert '2 cells<span class="note">4 trainings</span>' in text
  # Two of SNAS and one of DARTS, each with two cells.
  assert len(re.findall(r'<svg[^>]*aria-label="\w+ cell of', text)) == 3 * 2
  assert "test accuracy 90.00 %, mean of 3 trainings" in text
  assert "<title>a (darts), b (snas) · jnas comparison</title>" in text
  # Four trainings of SNAS's, one of DARTS's; and their random ones.
  titles = re.findall(r"<title>(.*?): \d", text)
  assert titles == [
    *("a-s3, seed 3", "b-s0, seed 0", "b-s1, seed 1"),
    *("again-s5, seed 5", "again-s6, seed 6"),
    *(f"random 0, seed {seed}" for seed in (3, 0, 1, 5)),
  ]


def test_a_cell_that_no_run_searched_has_a_row_of_its_own(make_compared):
  paths = [
    make_compared("a", 0, accuracy=0.80),
    make_compared("a", 1, accuracy=0.99),
    make_compared("wide", 0, accuracy=0.99),
  ]
  other = make_compared("other", 9, accuracy=0.5)
  give(paths[1], other)
  # The cell is known, but this is another network of it.
  give(paths[2], paths[0])
  change_evaluate(paths[2], channels=99)
  found = groups.read(paths)
  assert [g.label for g in found] == [
    "a (darts)",
    "given cells, a",
    "given cells, wide",
  ]
  assert [g.method for g in found] == ["darts", "given", "given"]
  assert found[0].summary("accuracy").mean == 0.80
  kinds = [row.kind for row in rows_lib.make(found)]
  assert kinds[:3] == ["searched", "given", "given"]
  # What was given is no finding, however good.
  assert comparison_words.headline(found).startswith("a (darts): 80.00 %")


def test_a_cell_that_two_methods_found_is_of_the_one_its_file_names(
  make_compared,
):
  darts = make_compared("a", 0, accuracy=0.8)
  snas = make_compared("b", 0, accuracy=0.8, method="snas")
  shutil.copy(darts / "genotype.json", snas)
  for path, name in ((darts, "one"), (snas, "two")):
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"hash": name}))
  again = make_compared("a", 1, accuracy=0.9)
  give(again, darts, config_hash="two")
  found = groups.read([darts, snas, again])
  assert [len(group.members) for group in found] == [1, 2]


def test_the_headline_says_what_is_noise(make_compared):
  # Differences from random of -1, 2 and 5 points: mean 2, deviation 3,
  # t = 2 / (3 / sqrt(3)) = 1.155, p = 0.37 with two degrees.
  paths = [
    make_compared("darts", i, accuracy=0.8 + d, random=0.8)
    for i, d in enumerate((-0.01, 0.02, 0.05))
  ]
  # Means 82 and 81, deviation 3 points each: t = 1 / sqrt(6) = 0.408, p = 0.70
  # with four degrees.
  paths += [
    make_compared("snas", i, accuracy=0.81 + d, random=0.8, method="snas")
    for i, d in enumerate((-0.03, 0, 0.03))
  ]
  assert comparison_words.headline(groups.read(paths)) == (
    "darts: 82.00 % ± 3.00 test accuracy over 3 cells, the highest mean, but"
    " within noise (p = 0.70) of snas, 2.00 points above random cells of the"
    " same seeds, within noise (p = 0.37)."
  )


def test_the_advice_is_a_whole_command(make_compared, monkeypatch, tmp_path):
  make_compared("a", 0, accuracy=0.9)
  make_compared("a", 1, accuracy=0.9)
  monkeypatch.chdir(tmp_path)
  found = groups.read([pathlib.Path("a-s0"), pathlib.Path("a-s1")])
  text = comparison_parts.variance(rows_lib.make(found), found)
  assert (
    "jnas evaluate --config CONFIG --genotype a-s0/genotype.json --seed 2"
    " --workdir a-s0-again-2 --evaluate.random-baselines 0" in text
  )


@pytest.mark.parametrize(
  ("hours", "words"),
  [(96, "96 h"), (1.5, "1.5 h"), (0.09, "5.4 min"), (0.01, "36 s"), (0, "0 s")],
)
def test_short_times_are_in_minutes_or_seconds(hours, words):
  assert comparison_parts._hours(hours) == words


def test_device_hours_count_every_device(make_compared):
  one = make_compared("a", 0, accuracy=0.9)
  four = make_compared("b", 0, accuracy=0.9, devices=4, method="snas")
  for path in (one, four):
    change(path / "search", seconds=1800.0)
    change(path / "evaluate", seconds=7200.0)
  members = [group.members[0] for group in groups.read([one, four])]
  assert [m.search_hours for m in members] == [0.5, 2.0]
  assert [m.train_hours for m in members] == [2.0, 8.0]


def test_order_of_supernet_child_and_retrained(make_compared):
  # Pairs of (child, retrained): the last two are the other way round, of 6.
  numbers = [(0.1, 0.90), (0.2, 0.91), (0.3, 0.93), (0.4, 0.92)]
  paths = [
    make_compared("a", i, accuracy=retrained, child=child, supernet=1 - child)
    for i, (child, retrained) in enumerate(numbers)
  ]
  found = orders.pooled(groups.read(paths))
  assert found["child and retrained"].tau == pytest.approx(4 / 6)
  assert found["supernet and retrained"].tau == pytest.approx(-4 / 6)
  assert found["supernet and child"].tau == -1
  assert all(order.count == 4 for order in found.values())


def test_the_order_within_a_method_is_not_that_of_the_methods(make_compared):
  # Each method orders its own three cells the wrong way round, and the pooled
  # order is good as the second is better in both: of 15 pairs 9 agree.
  paths = [
    make_compared(
      name, i, accuracy=base - 0.01 * i, child=base + 0.01 * i, method=name
    )
    for name, base in (("darts", 0.5), ("snas", 0.8))
    for i in range(3)
  ]
  found = groups.read(paths)
  pooled = orders.pooled(found)["child and retrained"]
  assert pooled.tau == pytest.approx((9 - 6) / 15)
  for group in found:
    own = orders.within(group)["child and retrained"]
    assert own.tau == -1 and own.count == 3
    # Two of the six orders are as far from 0.
    assert own.p == pytest.approx(2 / 6)


def test_groups_of_one_name_are_told_apart_by_what_differs(make_compared):
  paths = [
    make_compared("a", 0, accuracy=0.9),
    make_compared("a", 1, accuracy=0.9, search={"epochs": 7}),
  ]
  labels = [group.label for group in groups.read(paths)]
  assert (
    labels[1] == "a (darts), search.cells None, search.channels None,"
    " search.epochs 7"
  )


@pytest.mark.parametrize(
  ("config", "wanted"),
  [
    ({}, "darts"),
    ({"search": {"scheme": "second_order"}}, "darts second order"),
    ({"selection": {"name": "perturbation"}}, "darts + perturbation"),
    ({"progressive": {"cells": [5, 11]}}, "p_darts"),
  ],
)
def test_the_method_of_a_run_finds_its_published_rows(
  make_compared, config, wanted
):
  path = make_compared("a", 0, accuracy=0.9, **config)
  (group,) = groups.read([path])
  assert group.method == wanted
  assert published.rows([group.method])


def test_published_rows_are_errors_and_gpu_days_of_the_papers():
  (row,) = [
    rows_lib._of_paper(row)
    for row in published.TABLE
    if row.label == "DARTS, second order"
  ]
  # 2.76 +- 0.09 % error, 4 GPU-days of 24 hours.
  assert row.accuracy.mean == pytest.approx(0.9724)
  assert row.accuracy.deviation == pytest.approx(0.0009)
  assert row.search_hours.mean == 96
  assert (row.kind, row.source) == ("published", "DARTS Table 1")


def test_the_page_has_everything_and_needs_nothing_else(
  make_compared, tmp_path
):
  evil = "<b>&\"'"
  paths = [
    make_compared("one", 0, accuracy=0.9),
    make_compared("one", 1, accuracy=0.92),
    make_compared("two", 0, accuracy=0.94, method="snas"),
    make_compared(evil, 0, accuracy=0.91, method="entrannas"),
  ]
  before = {p: p.stat().st_mtime_ns for path in paths for p in path.rglob("*")}
  out = tmp_path / "new" / "out"
  index = comparison.write(paths, out)
  assert {p.name for p in out.iterdir()} == {
    "index.html",
    "scatter.svg",
    "scatter.png",
  }
  assert before == {
    p: p.stat().st_mtime_ns for path in paths for p in path.rglob("*")
  }
  text = index.read_text()
  outline = Outline(text)
  assert len(outline.ids) == len(set(outline.ids))
  for target in outline.targets:
    inner = target.startswith("#") and target[1:] in outline.ids
    assert inner or (out / target).exists() or target.startswith("data:")
  assert evil not in text and any(evil in found for found in outline.texts)
  words = " ".join(outline.texts)
  # The random cell of its run has 85 %.
  assert (
    "two (snas): 94.00 % test accuracy over 1 cell, the highest mean, 9.00"
    " points above random cells of the same seeds; 1 cell tells little."
    in words
  )
  assert (
    "two (snas): one cell, so nothing says how much a search moves it." in words
  )
  assert "test, 2,500 images" in words
  assert text.count('<tr class="published">') == 5  # DARTS, 3 SNAS, EnTranNAS
  assert 'data-v="0.91"' in text
  comparison.write(paths, out)
  assert index.read_text() == text


def test_runs_that_are_not_alike_or_not_ended_are_warned_of(
  make_compared, tmp_path
):
  paths = [
    make_compared("a", 0, accuracy=0.9),
    make_compared("a", 1, accuracy=0.9),
    make_compared("b", 0, accuracy=0.9, space="s1"),
  ]
  metrics = paths[1] / "evaluate" / "metrics.jsonl"
  metrics.write_text("".join(metrics.read_text().splitlines(True)[:-1]))
  shutil.rmtree(paths[2] / "evaluate" / "random_0")
  words = " ".join(
    Outline(comparison.write(paths, tmp_path / "out").read_text()).texts
  )
  assert "a (darts): retraining has not ended for seed 1." in words
  assert "Not all groups were retrained alike" in words
  assert "b (darts): no random cell was trained alike." in words


def run_cli(*arguments: str) -> int:
  with pytest.raises(SystemExit) as done:
    cli.main(["report", *arguments])
  return done.value.code


def test_a_comparison_that_replaces_another_says_so(
  make_compared, tmp_path, capsys
):
  paths = [str(make_compared(name, 0, accuracy=0.9)) for name in "abc"]
  out = str(tmp_path / "compared")
  for chosen, said in (
    (paths[:2], ""),
    (paths[1::-1], ""),  # the same runs again
    (paths[1:], f"replaces the comparison of {paths[0]}, {paths[1]}; --out"),
  ):
    assert run_cli(*chosen, "--out", out) == 0
    error = " ".join(capsys.readouterr().err.split())
    assert said in error if said else not error
  numbers = json.loads((tmp_path / "compared" / "comparison.json").read_text())
  assert {run["path"] for run in numbers["runs"]} == {*paths[1:]}


def test_json_is_one_object_and_says_what_the_page_says(
  make_compared, tmp_path, capsys
):
  paths = [
    str(make_compared("a", 0, accuracy=0.90)),
    str(make_compared("a", 1, accuracy=0.94)),
  ]
  out = tmp_path / "compared"
  assert run_cli(*paths, "--out", str(out), "--json") == 0
  found = json.loads(capsys.readouterr().out)
  assert found["page"] == str(out / "index.html")
  row = found["rows"][0]
  assert row["accuracy"]["mean"] == pytest.approx(0.92)
  assert row["split"] == "test, 2,500 images" and row["seeds"] == [0, 1]
  assert row["components"]["retrain"] is None
  assert (row["trainings"], row["best_run"]) == (2, "a-s1")
  # Less is better of a cost.
  assert "best" in row["accuracy"] and "best" not in row["params"]
  assert [r["kind"] for r in found["rows"]] == [
    "searched",
    "random",
    "published",
  ]
  assert found["kendall_tau"]["supernet and child"] == {
    "tau": None,
    "p": None,
    "runs": 2,
    "within": {"a (darts)": {"tau": None, "p": None, "runs": 2}},
  }
  assert [run["test_accuracy"] for run in found["runs"]] == [0.90, 0.94]


def test_the_comparison_goes_beside_the_first_run(make_compared, capsys):
  paths = [make_compared("a", i, accuracy=0.9) for i in range(2)]
  assert run_cli(*map(str, paths)) == 0
  index = paths[0].parent / "comparison" / "index.html"
  assert capsys.readouterr().out.strip() == str(index)
  assert index.exists()


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    (["a-s0", "a-s0"], "a-s0 is given twice"),
    (["a-s0", "nowhere"], "no run folder at"),
    (["a-s0", "empty"], "empty is not a run folder"),
    (["a-s0", "--out", "x"], "--out is 'x' with one run"),
  ],
)
def test_bad_input_gives_one_line(
  make_compared, tmp_path, monkeypatch, capsys, arguments, said
):
  make_compared("a", 0, accuracy=0.9)
  (tmp_path / "empty").mkdir()
  monkeypatch.chdir(tmp_path)
  assert run_cli(*arguments) == 2
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 1 and said in lines[0]


@pytest.mark.parametrize("settings", [1, 2, 3])
@pytest.mark.parametrize("seeds", [1, 3, 6])
def test_every_mark_has_its_own_title(settings, seeds):
  values = tuple(0.5 + 0.01 * seed for seed in range(seeds))
  lines = [
    random_cells.Baseline(
      label=f"random {index}",
      setting="",
      data="",
      images=10.0,
      seeds=tuple(range(seeds)),
      names=tuple(f"random {index}, seed {seed}" for seed in range(seeds)),
      accuracies=values,
      params=values,
      madds=values,
    )
    for index in range(settings)
  ]
  drawn = scatter.draw([], lines)
  svg = scatter.add_titles(picture.render(drawn.figure).svg, drawn.titles)
  tree = ElementTree.fromstring(svg[svg.index("<svg") :])
  named = {
    group.get("id"): title.text
    for group in tree.iter("{http://www.w3.org/2000/svg}g")
    for title in group.findall("{http://www.w3.org/2000/svg}title")
  }
  assert named == drawn.titles
  assert len(named) == settings * seeds
