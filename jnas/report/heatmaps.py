"""Mixing weights over the epochs, as heat maps and as curves."""

import math

import numpy as np
from matplotlib import cm, colors, ticker
from matplotlib import figure as figure_lib

from jnas.report import mixing, theme

_PANELS = 6
_PANELS_A_ROW = 4
_SQUARE = 0.17  # inches: side of a weight's field
_TYPE = 7.5  # points


def heat_maps(weights: mixing.Weights) -> figure_lib.Figure:
  """Mixing weights of every edge and operation at a few epochs."""
  last = len(weights.epochs) - 1
  picks = sorted({round(last * i / (_PANELS - 1)) for i in range(_PANELS)})
  ops = [theme.short_name(op) for op in weights.ops]
  edges = [f"{source} → {target}" for source, target in weights.edges]
  left = _text_inches(edges) + 0.12
  below = _text_inches(ops) + 0.14
  space, above, right = 0.16, 0.26, 0.72
  panel = _SQUARE * len(ops)
  tall = _SQUARE * len(edges)
  width = left + len(picks) * (panel + space) + right
  height = above + tall + below

  def place(figure, start: float, span: float):
    return figure.add_axes(
      (start / width, below / height, span / width, tall / height)
    )

  with theme.style():
    figure = figure_lib.Figure(figsize=(width, height))
    norm = colors.Normalize(0, weights.largest)
    scale = cm.ScalarMappable(norm, "cividis")
    for i, pick in enumerate(picks):
      axes = place(figure, left + i * (panel + space), panel)
      grid = np.ma.masked_invalid(np.array(weights.values[pick]))
      axes.pcolormesh(grid, cmap=scale.cmap, norm=norm, linewidth=0)
      axes.invert_yaxis()
      axes.set_title(f"epoch {weights.epochs[pick]}", size=8.5)
      axes.set_xticks(np.arange(len(ops)) + 0.5, ops)
      if i == 0:
        axes.set_yticks(np.arange(len(edges)) + 0.5, edges)
      else:
        axes.set_yticks([])
      axes.tick_params(length=0, labelsize=_TYPE)
      axes.tick_params(axis="x", rotation=90)
      axes.grid(False)
      axes.set_frame_on(False)
    bar = place(figure, width - right + 0.1, 0.1)
    figure.colorbar(scale, cax=bar)
    bar.tick_params(labelsize=_TYPE, length=0)
    bar.grid(False)
    for spine in bar.spines.values():
      spine.set_visible(False)
  return figure


def trajectories(weights: mixing.Weights) -> figure_lib.Figure:
  """Mixing weights of every edge over the epochs, a panel an edge."""
  rows = math.ceil(len(weights.edges) / _PANELS_A_ROW)
  pattern = theme.dashes(weights.ops)
  legend = 0.3 + 0.2 * math.ceil(len(weights.ops) / _PANELS_A_ROW)
  width, height = 9.0, legend + 0.3 + 1.5 * rows
  with theme.style():
    figure = figure_lib.Figure(figsize=(width, height))
    panels = figure.subplots(
      rows, _PANELS_A_ROW, sharex=True, sharey=True, squeeze=False
    ).ravel()
    figure.subplots_adjust(
      left=0.4 / width,
      right=1 - 0.1 / width,
      bottom=(legend + 0.25) / height,
      top=1 - 0.3 / height,
      hspace=0.35,
      wspace=0.08,
    )
    for axes in panels[len(weights.edges) :]:
      axes.set_axis_off()
    for e, (source, target) in enumerate(weights.edges):
      axes = panels[e]
      for k, op in enumerate(weights.ops):
        dashes = [float(part) for part in pattern[op].split()]
        axes.plot(
          weights.epochs,
          [values[e][k] for values in weights.values],
          color=theme.color(theme.family(op)),
          linestyle=(0, dashes) if dashes else "solid",
          marker="." if len(weights.epochs) <= 2 else "",
          linewidth=1.2,
          label=theme.short_name(op),
        )
      axes.set_title(f"{source} → {target}", size=9)
      axes.set_ylim(0, 1.05 * weights.largest)
      axes.xaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
    figure.legend(
      *panels[0].get_legend_handles_labels(),
      loc="lower center",
      ncols=_PANELS_A_ROW,
    )
  return figure


def _text_inches(texts) -> float:
  """Width of the widest of some texts."""
  return max(theme.text_width(text, _TYPE) for text in texts) / 72
