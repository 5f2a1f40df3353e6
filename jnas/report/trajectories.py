"""How good the cells really are that searches would derive at each epoch.

Source: PT, Figure 4.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import figure as figure_lib
from matplotlib import ticker

from jnas.report import theme

_SIZE = (4.0, 2.8)  # inches: about the width of a phone
_FEW_EPOCHS = 15  # up to which each one gets a mark
_ROLES = ("sep", "pool", "dil", "conv", "skip", "none")
_DASHES = ("solid", (0, (4, 2)), (0, (1, 1.5)))


def draw(benchmark: Mapping[str, Any]) -> dict[str, figure_lib.Figure]:
  """The trajectory on each data set's test images, by the picture's name.

  Args:
    benchmark: a run's benchmark.json; nothing is drawn of an empty one.
  """
  epochs = benchmark.get("epochs", [])
  numbers = [entry["epoch"] + 1 for entry in epochs]
  figures = {}
  for data_set, best in benchmark.get("best", {}).items():
    if not epochs or data_set.endswith("_valid"):
      continue
    shown = {"search": epochs}
    if benchmark["before_selection"]:
      shown["selected"] = [benchmark["found"]]
    lines = {
      label: [cell["scores"][data_set]["accuracy"] for cell in cells]
      for label, cells in shown.items()
    }
    figures[f"benchmark_{data_set}"] = plot_trajectories(
      lines,
      epochs={"search": numbers, "selected": numbers[-1:]},
      best=best,
    )
  return figures


def plot_trajectories(
  accuracies: Mapping[str, Sequence[float] | Sequence[Sequence[float]]],
  *,
  epochs: Mapping[str, Sequence[float]] | None = None,
  best: float | None = None,
) -> figure_lib.Figure:
  """Accuracy over the epochs, a line for each search.

  Args:
    accuracies: by label, `[epochs]` percent, or `[seeds, epochs]`, of which
      the mean is drawn and each seed thinly behind it. NaN is bridged.
    epochs: by label, the epochs' numbers; those of a label that is not there
      are 0, 1, 2 and so on.
    best: accuracy of the best cell of all, drawn as a dotted line.

  Raises:
    ValueError: for a label without any finite accuracy, or epochs that are not
      as many as its accuracies.
  """
  given = epochs or {}
  lines = {
    label: _read(label, values, given.get(label))
    for label, values in accuracies.items()
  }
  if not lines:
    raise ValueError("no trajectories to draw")
  looks = itertools.product(_DASHES, _ROLES)
  with theme.style():
    figure = figure_lib.Figure(figsize=_SIZE)
    axes = figure.add_subplot()
    for (label, (numbers, values)), (dashes, role) in zip(
      lines.items(), itertools.cycle(looks), strict=False
    ):
      look = {"color": theme.color(role), "linestyle": dashes}
      if len(values) > 1:
        for seed in values:
          axes.plot(*_known(numbers, seed), linewidth=0.6, alpha=0.45, **look)
      known = np.isfinite(values).any(axis=0)
      mean = np.nanmean(values[:, known], axis=0)
      axes.plot(
        numbers[known],
        mean,
        label=label,
        marker="o" if len(mean) <= _FEW_EPOCHS else "",
        markersize=3,
        **look,
      )
    if best is not None:
      axes.axhline(
        best,
        color=theme.color("muted"),
        linewidth=0.9,
        linestyle=(0, (1, 2)),
        label=f"best cell, {best:.2f} %",
      )
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.4g} %")
    axes.set_ylabel("test accuracy, by the table")
    _finish(figure, axes)
  return figure


def _read(
  label: str,
  values: Sequence[float] | Sequence[Sequence[float]],
  epochs: Sequence[float] | None,
) -> tuple[np.ndarray, np.ndarray]:
  """`[epochs]` numbers and `[seeds, epochs]` accuracies of a label."""
  table = np.atleast_2d(np.asarray(values, np.float64))
  if table.ndim != 2 or not np.isfinite(table).any():
    raise ValueError(f"trajectory {label!r} has no finite accuracies")
  numbers = np.arange(table.shape[1]) if epochs is None else np.asarray(epochs)
  if numbers.shape != table.shape[1:]:
    raise ValueError(
      f"trajectory {label!r} has {table.shape[1]} accuracies, and epochs of "
      f"shape {numbers.shape}"
    )
  return numbers, table


def _known(
  numbers: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  known = np.isfinite(values)
  return numbers[known], values[known]


def _finish(figure, axes) -> None:
  """Sets the axis of epochs, and the legend above the chart."""
  axes.set_xlabel("epoch")
  axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
  _, labels = axes.get_legend_handles_labels()
  columns = 2 if max(map(len, labels)) <= 26 else 1
  rows = math.ceil(len(labels) / columns)
  width, height = figure.get_size_inches()
  height += 0.18 * max(0, rows - 2)
  figure.set_size_inches(width, height)
  figure.subplots_adjust(
    left=0.72 / width,
    right=1 - 0.14 / width,
    bottom=0.46 / height,
    top=1 - (0.14 + 0.18 * rows) / height,
  )
  figure.legend(
    loc="upper left",
    ncols=columns,
    handlelength=1.8,
    columnspacing=1.2,
    labelspacing=0.25,
    borderaxespad=0.2,
  )
