"""The picture of PT's Figure 4."""

import json

import numpy as np
import pytest

from jnas.report import page, picture, theme, trajectories


def lines_of(figure):
  (axes,) = figure.axes
  return {line.get_label(): line for line in axes.lines}


def test_a_line_for_each_search_and_one_for_the_best_cell():
  figure = trajectories.plot_trajectories(
    {"DARTS": [90.0, 54.3, 54.3], "PT": [80.0, 93.8]},
    epochs={"PT": [100, 124]},
    best=94.373,
  )
  lines = lines_of(figure)
  assert list(lines) == ["DARTS", "PT", "best cell, 94.37 %"]
  np.testing.assert_array_equal(lines["DARTS"].get_xdata(), [0, 1, 2])
  np.testing.assert_array_equal(lines["DARTS"].get_ydata(), [90.0, 54.3, 54.3])
  np.testing.assert_array_equal(lines["PT"].get_xdata(), [100, 124])
  assert lines["DARTS"].get_color() != lines["PT"].get_color()
  (legend,) = figure.legends
  assert [text.get_text() for text in legend.get_texts()] == list(lines)


def test_of_several_seeds_the_mean_is_drawn_and_each_behind_it():
  figure = trajectories.plot_trajectories(
    {"random": [[50.0, 60.0, np.nan], [70.0, np.nan, np.nan]]}
  )
  (axes,) = figure.axes
  first, second, mean = axes.lines
  np.testing.assert_array_equal(first.get_ydata(), [50.0, 60.0])
  np.testing.assert_array_equal(second.get_ydata(), [70.0])
  # Of the third epoch nothing is known.
  np.testing.assert_array_equal(mean.get_xdata(), [0, 1])
  np.testing.assert_array_equal(mean.get_ydata(), [60.0, 60.0])
  assert first.get_linewidth() < mean.get_linewidth()
  assert mean.get_color() == first.get_color() == theme.color("sep")


def test_many_searches_differ_in_colour_or_dashes():
  names = [f"search {i}" for i in range(12)]
  figure = trajectories.plot_trajectories({name: [1.0, 2.0] for name in names})
  looks = {
    (line.get_color(), str(line.get_linestyle()))
    for line in lines_of(figure).values()
  }
  assert len(looks) == 12


def test_the_picture_is_the_same_every_time_and_holds_its_words():
  pictures = [
    picture.render(
      trajectories.plot_trajectories({"DARTS+PT": [50.0, 94.0]}, best=94.373)
    )
    for _ in range(2)
  ]
  assert pictures[0] == pictures[1]
  for words in ("DARTS+PT", "best cell, 94.37 %", "epoch", "test accuracy"):
    assert words in pictures[0].svg
  assert pictures[0].png.startswith(b"\x89PNG")


@pytest.mark.parametrize(
  ("accuracies", "epochs", "message"),
  [
    ({}, None, "no trajectories to draw"),
    ({"a": [np.nan]}, None, "'a' has no finite accuracies"),
    ({"a": []}, None, "'a' has no finite accuracies"),
    ({"a": [1.0, 2.0]}, {"a": [1]}, r"'a' has 2 accuracies, .* shape \(1,\)"),
  ],
)
def test_what_cannot_be_drawn_is_one_clear_line(accuracies, epochs, message):
  with pytest.raises(ValueError, match=message):
    trajectories.plot_trajectories(accuracies, epochs=epochs)


def looked_up(*, selected: bool):
  """A benchmark.json of two epochs, on test and on validation images."""

  def cell(accuracy):
    scores = {"accuracy": accuracy, "rank": 3, "regret": 94.0 - accuracy}
    return {"scores": {"cifar10": scores, "cifar10_valid": scores}}

  return {
    "table": "made.npz",
    "best": {"cifar10": 94.0, "cifar10_valid": 94.0},
    "num_cells": 15_625,
    "found": cell(93.5),
    "before_selection": cell(60.0) if selected else None,
    "epochs": [
      {"epoch": 1, **cell(80.0)},
      {"epoch": 3, **cell(60.0)},
    ],
  }


def test_a_run_is_drawn_on_test_images_with_the_selected_cell_as_a_point():
  (name, figure), *rest = trajectories.draw(looked_up(selected=True)).items()
  assert name == "benchmark_cifar10" and not rest
  lines = lines_of(figure)
  assert list(lines) == ["search", "selected", "best cell, 94.00 %"]
  np.testing.assert_array_equal(lines["search"].get_xdata(), [2, 4])
  np.testing.assert_array_equal(lines["search"].get_ydata(), [80.0, 60.0])
  np.testing.assert_array_equal(lines["selected"].get_xdata(), [4])
  np.testing.assert_array_equal(lines["selected"].get_ydata(), [93.5])
  figure = trajectories.draw(looked_up(selected=False))["benchmark_cifar10"]
  assert list(lines_of(figure)) == ["search", "best cell, 94.00 %"]
  assert trajectories.draw({}) == {}
  assert trajectories.draw({**looked_up(selected=True), "epochs": []}) == {}


def test_the_page_needs_no_table(make_run):
  path = make_run(epochs=1, retrain_epochs=0, ops=("none", "skip_connect"))
  assert 'id="benchmark"' not in page.write(path).read_text()
  (path / "benchmark.json").write_text(json.dumps(looked_up(selected=True)))
  text = page.write(path).read_text()
  assert (path / "report" / "benchmark_cifar10.svg").exists()
  section = text.partition('id="benchmark"')[2].partition("</section>")[0]
  assert "the point is the cell selected afterwards" in section
  for row in (
    ("cifar10", "selected", "93.50 %", "0.50"),
    ("cifar10_valid", "searched, before the selection", "60.00 %", "34.00"),
  ):
    label, note, accuracy, regret = row
    assert (
      f'<th scope="row">{label}<span class="note">{note}</span></th>'
      f"<td>{accuracy}</td><td>3 of 15,625</td><td>{regret}</td>"
    ) in section
