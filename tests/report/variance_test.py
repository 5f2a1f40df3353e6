"""The chart of the estimators' variance."""

import pathlib

from jnas.report import variance

ROWS = [
  {"estimator": "REINFORCE", "variance": 1.6},
  {"estimator": "REBAR", "variance": 0.5},
  {"estimator": "Gumbel-softmax", "variance": 0.02},
]


def test_each_estimator_has_a_bar_as_long_as_its_variance():
  axes = variance.draw(ROWS).axes[0]
  assert [bar.get_width() for bar in axes.patches] == [1.6, 0.5, 0.02]
  labels = [label.get_text() for label in axes.get_yticklabels()]
  assert labels == ["REINFORCE", "REBAR", "Gumbel-softmax (biased)"]
  assert axes.get_xscale() == "log"


def test_no_variance_at_all_can_be_drawn():
  axes = variance.draw([{"estimator": "REBAR", "variance": 0.0}]).axes[0]
  assert axes.get_xscale() == "linear"


def test_the_chart_is_written_twice(tmp_path):
  paths = variance.write(ROWS, tmp_path / "new" / "estimators")
  assert [pathlib.Path(path).suffix for path in paths] == [".svg", ".png"]
  assert all(path.stat().st_size > 1000 for path in paths)
