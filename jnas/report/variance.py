"""The variance of gradient estimators as a chart.

Source: UNAS, Sec. 5: the variance of REBAR against REINFORCE.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import figure as figure_lib

from jnas.report import picture, theme

_SIZE = (4.0, 2.2)  # inches: about the width of a phone


def draw(rows: Sequence[Mapping[str, Any]]) -> figure_lib.Figure:
  """Bars on a logarithmic axis, the biased estimators pale.

  Args:
    rows: each with `estimator` and `variance`.
  """
  biased = ("Gumbel-softmax", "straight-through")
  with theme.style():
    figure = figure_lib.Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    names = [
      row["estimator"] + (" (biased)" if row["estimator"] in biased else "")
      for row in rows
    ]
    bars = axes.barh(
      names, [row["variance"] for row in rows], color=theme.color("sep")
    )
    for bar, row in zip(bars, rows, strict=True):
      bar.set_alpha(0.45 if row["estimator"] in biased else 0.95)
      axes.annotate(
        f"{row['variance']:#.2g}",
        (row["variance"], bar.get_y() + bar.get_height() / 2),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
      )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    if all(row["variance"] > 0 for row in rows):
      axes.set_xscale("log")
    axes.margins(x=0.25)
    axes.set_xlabel("variance of the architecture gradient")
  return figure


def write(
  rows: Sequence[Mapping[str, Any]], path: pathlib.Path
) -> list[pathlib.Path]:
  """Writes the chart as SVG and PNG, and gives their paths.

  Args:
    rows: of `draw`.
    path: without an ending; its folder is made.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  return picture.write(picture.render(draw(rows)), path)
