"""Accuracy against parameters, a mark for each run."""

import math
from collections.abc import Sequence

from matplotlib import figure as figure_lib

from jnas.report import groups as groups_lib
from jnas.report import theme

_SIZE = (5.0, 3.4)  # inches: read on a phone, not lost on a desk
_ROLES = ("sep", "pool", "conv", "dil", "skip")
_MARKS = ("o", "s", "^", "D", "v", "P")


def draw(
  groups: Sequence[groups_lib.Group],
  baselines: Sequence[groups_lib.Baseline],
) -> figure_lib.Figure | None:
  """Test accuracy of every retrained network over its parameters.

  Groups differ in colour and in the form of their marks; random cells are
  hollow. None where no network has been retrained.
  """
  series = [
    (
      group.label,
      [(member.params, member.accuracy) for member in group.members],
    )
    for group in groups
  ]
  random = [
    (line.label, list(zip(line.params, line.accuracies, strict=True)))
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
      axes.scatter(
        *zip(*points, strict=True),
        s=34,
        color=theme.color(_ROLES[index % len(_ROLES)]),
        marker=_MARKS[index % len(_MARKS)],
        label=_shorten(label),
      )
    for index, (label, points) in enumerate(random):
      axes.scatter(
        *zip(*points, strict=True),
        s=34,
        facecolor="none",
        edgecolor=theme.color("muted"),
        marker=_MARKS[index % len(_MARKS)],
        label=_shorten(label),
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
  return figure


def _known(
  series: list[tuple[str, list[tuple[float, float]]]],
) -> list[tuple[str, list[tuple[float, float]]]]:
  """The points of which both coordinates are known."""
  found = [
    (label, [point for point in points if all(map(math.isfinite, point))])
    for label, points in series
  ]
  return [(label, points) for label, points in found if points]


def _shorten(label: str) -> str:
  return label if len(label) <= 52 else f"{label[:51]}…"


def _count(value: float) -> str:
  for unit, name in ((1e6, " M"), (1e3, " k")):
    if abs(value) >= unit:
      return f"{value / unit:.4g}{name}"
  return f"{value:.4g}"
