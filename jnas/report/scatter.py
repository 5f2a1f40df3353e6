"""Accuracy against parameters, a mark for each run."""

import html
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib import figure as figure_lib

from jnas.report import groups as groups_lib
from jnas.report import random_cells, tables, theme

_SIZE = (5.0, 3.4)  # inches: read on a phone, not lost on a desk
_ROLES = ("sep", "pool", "conv", "dil", "skip")
_MARKS = ("o", "s", "^", "D", "v", "P")


class Point(NamedTuple):
  """A network.

  Attributes:
    params: its parameters.
    accuracy: on the test split.
    title: whose it is.
  """

  params: float
  accuracy: float
  title: str


class Drawn(NamedTuple):
  """A chart whose marks have names.

  Attributes:
    figure: the chart.
    titles: of the marks, by the name of each.
  """

  figure: figure_lib.Figure
  titles: dict[str, str]


def draw(
  groups: Sequence[groups_lib.Group],
  baselines: Sequence[random_cells.Baseline],
) -> Drawn | None:
  """Test accuracy of every retrained network over its parameters.

  Groups differ in colour and in the form of their marks; random cells are
  hollow. None where no network has been retrained.
  """
  series = [
    (
      group.label,
      [
        Point(m.params, m.accuracy, f"{m.run.name}, seed {m.seed}")
        for m in group.members
      ],
    )
    for group in groups
  ]
  random = [
    (
      line.label,
      list(map(Point, line.params, line.accuracies, line.names)),
    )
    for line in baselines
  ]
  series, random = _known(series), _known(random)
  if not series and not random:
    return None
  with theme.style():
    rows = len(series) + len(random)
    width, height = _SIZE
    height += 0.18 * rows
    figure = figure_lib.Figure(figsize=(width, height))
    axes = figure.add_subplot()
    for index, (label, points) in enumerate(series):
      _mark(
        axes,
        points,
        f"marks-{index}",
        label,
        color=theme.color(_ROLES[index % len(_ROLES)]),
        marker=_MARKS[index % len(_MARKS)],
      )
    for index, (label, points) in enumerate(random):
      _mark(
        axes,
        points,
        f"random-marks-{index}",
        label,
        facecolor="none",
        edgecolor=theme.color("muted"),
        marker=_MARKS[index % len(_MARKS)],
      )
    axes.grid(visible=True, axis="both")
    axes.set_xlabel("parameters")
    axes.set_ylabel("test accuracy, retrained")
    axes.margins(0.08)
    axes.xaxis.set_major_formatter(lambda value, _: _count(value))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    axes.locator_params(axis="x", nbins=5)
    figure.subplots_adjust(
      left=0.78 / width,
      right=1 - 0.2 / width,
      bottom=0.5 / height,
      top=1 - (0.14 + 0.18 * rows) / height,
    )
    figure.legend(
      loc="upper left",
      ncols=1,
      handlelength=1.2,
      labelspacing=0.25,
      borderaxespad=0.2,
    )
  titles = {
    f"{prefix}marks-{index}-{place}": (
      f"{p.title}: {tables.percent(p.accuracy)}, {p.params:,.0f} parameters"
    )
    for prefix, lines in (("", series), ("random-", random))
    for index, (_, points) in enumerate(lines)
    for place, p in enumerate(points)
  }
  return Drawn(figure, titles)


def add_titles(svg: str, titles: dict[str, str]) -> str:
  """The chart as SVG, each mark with its title, which a pointer shows."""
  for name, text in titles.items():
    group = f'<g id="{name}">'
    svg = svg.replace(group, f"{group}<title>{html.escape(text)}</title>", 1)
  return svg


def _mark(
  axes: Any, points: Sequence[Point], name: str, label: str, **style: Any
) -> None:
  """Draws each point as a mark of its own, so that it can have a title."""
  for place, point in enumerate(points):
    axes.scatter(
      [point.params],
      [point.accuracy],
      s=34,
      gid=f"{name}-{place}",
      label=theme.short_label(label) if place == 0 else None,
      **style,
    )


def _known(
  series: list[tuple[str, list[Point]]],
) -> list[tuple[str, list[Point]]]:
  """The points of which both coordinates are known."""
  found = [
    (label, [p for p in points if math.isfinite(p.params + p.accuracy)])
    for label, points in series
  ]
  return [(label, points) for label, points in found if points]


def _count(value: float) -> str:
  for unit, name in ((1e6, " M"), (1e3, " k")):
    if abs(value) >= unit:
      return f"{value / unit:.4g}{name}"
  return f"{value:.4g}"
