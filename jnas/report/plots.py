"""Curves of a run, drawn by matplotlib without a display.

Each function returns a figure narrow enough to be read on a phone, or None
where the run has nothing to draw.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import figure as figure_lib
from matplotlib import ticker

from jnas.report import folder, theme

_SIZE = (4.0, 2.6)  # inches: about the width of a phone
_FEW_EPOCHS = 15  # up to which each one gets a mark


class Series(NamedTuple):
  """A line of a chart.

  Attributes:
    label: its name, with the split it is measured on.
    epochs: horizontal positions.
    values: heights, NaN where unknown.
    role: its colour, a key of `theme.ROLES`.
    dashed: True for a broken line.
    thin: True for one of many.
  """

  label: str
  epochs: Sequence[float]
  values: Sequence[float]
  role: str
  dashed: bool = False
  thin: bool = False


def search_accuracy(log: folder.Log) -> figure_lib.Figure | None:
  """Accuracy of supernet and child during the search."""
  return _lines(_search_series(log, "accuracy"), percent=True)


def search_loss(log: folder.Log) -> figure_lib.Figure | None:
  """Loss of supernet and child during the search."""
  return _lines(_search_series(log, "loss"), ylabel="loss")


def gap(log: folder.Log) -> figure_lib.Figure | None:
  """Discretisation gap: supernet's accuracy minus its child's."""
  series = [
    Series("supernet − child", log.counted(), log.values("gap"), "pool")
  ]
  return _lines(series, percent=True, zero=True)


def entropy(log: folder.Log) -> figure_lib.Figure | None:
  """Mean entropy of the mixing weights over its largest value."""
  series = [
    Series(name, log.counted(), log.values("entropy", name), role)
    for name, role in (("normal", "sep"), ("reduce", "pool"))
  ]
  return _lines(series, ylabel="entropy / log K", bounds=(0, 1.03))


def skip_share(log: folder.Log) -> figure_lib.Figure | None:
  """Share of skip connections in the cells that each epoch would derive."""
  series = [
    Series(name, log.counted(), log.values("skip_share", name), role)
    for name, role in (("normal", "sep"), ("reduce", "pool"))
  ]
  return _lines(series, percent=True, bounds=(-0.03, 1.03))


def op_counts(log: folder.Log, cell_type: str) -> figure_lib.Figure | None:
  """Operations of the cell that each epoch would derive, stacked."""
  counts = [epoch.get("op_counts", {}) for epoch in log.epochs]
  ops = sorted(
    {op for count in counts for op in count.get(cell_type) or {}},
    key=lambda op: (list(theme.ROLES).index(theme.family(op)), op),
  )
  if not ops:
    return None
  heights = [
    [folder.number(count, cell_type, op) for count in counts] for op in ops
  ]
  heights = np.nan_to_num(np.array(heights))
  # Each epoch is a step as wide as an epoch; like ones are drawn as one.
  changes = np.any(heights[:, 1:] != heights[:, :-1], axis=0)
  starts = [0, *(np.flatnonzero(changes) + 1), len(counts) - 1]
  heights = heights[:, starts]
  edges = [log.counted()[i] for i in starts[:-1]] + [log.counted()[-1] + 1]
  patterns = theme.dashes(tuple(ops))
  position = {p: i for i, p in enumerate(dict.fromkeys(patterns.values()))}
  with theme.style():
    figure, axes = _axes()
    bands = axes.stackplot(
      np.array(edges) - 0.5,
      heights,
      labels=[theme.short_name(op) for op in ops],
      colors=[theme.color(theme.family(op)) for op in ops],
      step="post",
      edgecolor=theme.color("ground"),
      linewidth=0.8,
    )
    for band, op in zip(bands, ops, strict=True):
      band.set_alpha((0.95, 0.55, 0.3)[min(position[patterns[op]], 2)])
    axes.yaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.set_ylabel("connections")
    axes.grid(False)
    _finish(figure, axes, log.counted(), legend_columns=2)
  return figure


def selection_accuracy(
  log: folder.Log, start: float
) -> figure_lib.Figure | None:
  """Accuracy of the supernet while PT decides and tunes it.

  Source: PT, Figure 6.

  Args:
    log: of the selection.
    start: accuracy on the valid split at the end of the search.
  """
  ends = [0, *log.counted()]
  valid = [start, *log.values("valid_accuracy")]
  if sum(map(math.isfinite, valid)) < 2:
    return None
  child = folder.number(log.summary, "child_accuracy")
  series = [
    Series("supernet, train", ends[1:], log.values("train_accuracy"), "none"),
    Series("supernet, valid", ends, valid, "sep"),
    Series("child, valid", ends[-1:], [child], "pool", dashed=True),
  ]
  return _lines(series, percent=True, xlabel="epochs of tuning")


def training_accuracy(
  networks: Sequence[folder.Network],
) -> figure_lib.Figure | None:
  """Accuracy of the retrained networks."""
  return _lines(_training_series(networks, "accuracy"), percent=True)


def training_loss(
  networks: Sequence[folder.Network],
) -> figure_lib.Figure | None:
  """Loss of the retrained networks."""
  return _lines(_training_series(networks, "loss"), ylabel="loss")


def segment_miou(log: folder.Log) -> figure_lib.Figure | None:
  """Mean intersection over union and pixels right, over the epochs."""
  named = [
    ("mIoU, test", "test_miou", "sep", False),
    ("pixels, test", "test_pixel_accuracy", "pool", False),
    ("pixels, train", "train_pixel_accuracy", "pool", True),
  ]
  series = [
    Series(label, log.counted(), log.values(name), role, dashed)
    for label, name, role, dashed in named
  ]
  return _lines(series, percent=True)


def segment_loss(log: folder.Log) -> figure_lib.Figure | None:
  """Loss of a pixel over the epochs."""
  series = [
    Series(split, log.counted(), log.values(f"{split}_loss"), "sep", dashed)
    for split, dashed in (("test", False), ("train", True))
  ]
  return _lines(series, ylabel="loss")


def _search_series(log: folder.Log, metric: str) -> list[Series]:
  named = [
    ("supernet, train", f"train_{metric}", "none", False),
    ("supernet, valid", f"valid_{metric}", "sep", False),
    ("child, valid", f"child_{metric}", "pool", True),
  ]
  return [
    Series(label, log.counted(), log.values(name), role, dashed)
    for label, name, role, dashed in named
  ]


def _training_series(
  networks: Sequence[folder.Network], metric: str
) -> list[Series]:
  """Train and test lines; those of all baselines share their two names."""
  series, named = [], set()
  for network in networks:
    role = "pool" if network.is_baseline else "sep"
    name = "random" if network.is_baseline else "searched"
    for split, dashed in (("test", False), ("train", True)):
      label = f"{name}, {split}"
      series.append(
        Series(
          "" if label in named else label,
          network.log.counted(),
          network.log.values(f"{split}_{metric}"),
          role,
          dashed,
          thin=network.is_baseline and len(networks) > 2,
        )
      )
      named.add(label)
  return series


def _lines(
  series: Sequence[Series],
  *,
  percent: bool = False,
  zero: bool = False,
  xlabel: str = "epoch",
  ylabel: str = "",
  bounds: tuple[float, float] | None = None,
) -> figure_lib.Figure | None:
  """A chart of lines over epochs; None if no value is finite."""
  series = [s for s in series if any(math.isfinite(v) for v in s.values)]
  if not series:
    return None
  with theme.style():
    figure, axes = _axes()
    for line in series:
      known = [
        (epoch, value)
        for epoch, value in zip(line.epochs, line.values, strict=True)
        if math.isfinite(value)
      ]
      # Epochs without a measurement are bridged; the page names the metrics
      # that were not finite.
      axes.plot(
        *zip(*known, strict=True),
        color=theme.color(line.role),
        linestyle=(0, (4, 2)) if line.dashed else "solid",
        linewidth=0.9 if line.thin else 1.6,
        marker="o" if len(known) <= _FEW_EPOCHS else "",
        markersize=3,
        label=line.label or "_nolegend_",
      )
    if zero:
      axes.axhline(0, color=theme.color("muted"), linewidth=0.8)
    if percent:
      axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    if bounds:
      axes.set_ylim(*bounds)
    axes.set_ylabel(ylabel)
    epochs = [epoch for line in series for epoch in line.epochs]
    _finish(figure, axes, epochs, legend_columns=min(2, len(series)))
    axes.set_xlabel(xlabel)
  return figure


def _axes():
  figure = figure_lib.Figure(figsize=_SIZE)
  return figure, figure.add_subplot()


def _finish(
  figure, axes, epochs: Sequence[float], *, legend_columns: int
) -> None:
  """Sets the axis of epochs, and the legend above the chart."""
  axes.set_xlabel("epoch")
  axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
  first, last = axes.dataLim.intervalx
  if first == last or min(epochs) == max(epochs):
    axes.set_xticks([round((first + last) / 2)])
    first, last = first - 1, last + 1
  margin = 0.02 * (last - first)
  axes.set_xlim(first - margin, last + margin)
  _, labels = axes.get_legend_handles_labels()
  rows = math.ceil(len(labels) / legend_columns)
  width, height = figure.get_size_inches()
  height += 0.18 * max(0, rows - 2)
  figure.set_size_inches(width, height)
  figure.subplots_adjust(
    left=0.68 / width,
    right=1 - 0.14 / width,
    bottom=0.46 / height,
    top=1 - (0.14 + 0.18 * rows) / height,
  )
  figure.legend(
    loc="upper left",
    ncols=legend_columns,
    handlelength=1.8,
    columnspacing=1.2,
    labelspacing=0.25,
    borderaxespad=0.2,
  )
