"""Searches epoch by epoch, side by side.

How good the cells really are that they would derive, and the losses of their
supernets.

Source: PT, Figure 4; UNAS, Figure 4.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import figure as figure_lib
from matplotlib import ticker

from jnas.report import theme
from jnas.report.groups import Group

_SIZE = (4.0, 2.8)  # inches: about the width of a phone
_FEW_EPOCHS = 15  # up to which each one gets a mark
_ROLES = ("sep", "pool", "conv", "dil", "skip", "none")
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


def losses(groups: Sequence[Group]) -> dict[str, figure_lib.Figure]:
  """What the supernets' losses say of fitting the training images too well.

  Source: UNAS, Figure 4; SPEC 5, P17.

  Args:
    groups: of runs; those without epochs to draw are left out.

  Returns:
    "loss": the loss on the validation split over the epochs; "excess": how far
    it is above the training loss. Nothing where no search has two epochs.
  """
  epochs, valid, excess = {}, {}, {}
  for group in groups:
    logs = [m.run.search for m in group.members if m.run.search is not None]
    numbers = sorted({number for log in logs for number in log.counted()})
    rows = np.full((2, len(logs), len(numbers)), np.nan)
    for row, log in enumerate(logs):
      at = np.searchsorted(numbers, log.counted())
      rows[0, row, at] = log.values("valid_loss")
      rows[1, row, at] = rows[0, row, at] - log.values("train_loss")
    if np.isfinite(rows[1]).any(axis=0).sum() > 1:
      epochs[group.label] = numbers
      valid[group.label], excess[group.label] = rows
  if not valid:
    return {}
  return {
    name: _plot(lines, epochs=epochs, ylabel=ylabel)
    for name, lines, ylabel in (
      ("loss", valid, "validation loss"),
      ("excess", excess, "validation loss less training loss"),
    )
  }


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
  return _plot(
    accuracies,
    epochs=epochs,
    best=best,
    ylabel="test accuracy, by the table",
    unit=" %",
  )


def _plot(
  values: Mapping[str, Sequence[float] | Sequence[Sequence[float]]],
  *,
  epochs: Mapping[str, Sequence[float]] | None,
  ylabel: str,
  unit: str = "",
  best: float | None = None,
) -> figure_lib.Figure:
  """The chart of `plot_trajectories`, of any values."""
  given = epochs or {}
  lines = {
    label: _read(label, row, given.get(label)) for label, row in values.items()
  }
  if not lines:
    raise ValueError("no trajectories to draw")
  looks = itertools.product(_DASHES, _ROLES)
  with theme.style():
    figure = figure_lib.Figure(figsize=_SIZE)
    axes = figure.add_subplot()
    for (label, (numbers, table)), (dashes, role) in zip(
      lines.items(), itertools.cycle(looks), strict=False
    ):
      look = {"color": theme.color(role), "linestyle": dashes}
      if len(table) > 1:
        for seed in table:
          axes.plot(*_known(numbers, seed), linewidth=0.6, alpha=0.45, **look)
      known = np.isfinite(table).any(axis=0)
      mean = np.nanmean(table[:, known], axis=0)
      axes.plot(
        numbers[known],
        mean,
        label=theme.short_label(label),
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
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}{unit}")
    axes.set_ylabel(ylabel)
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
