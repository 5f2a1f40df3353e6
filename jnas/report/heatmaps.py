"""Mixing weights over the epochs, as a row of heat maps."""

from collections.abc import Iterable

import numpy as np
from matplotlib import figure as figure_lib

from jnas.report import mixing, theme

_PANELS = 6
_SQUARE = 0.17  # inches: side of a weight's field
_TYPE = 7.5  # points


def heat_maps(weights: mixing.Weights) -> figure_lib.Figure:
  """Mixing weights of every edge and operation at a few epochs."""
  last = len(weights.epochs) - 1
  picks = sorted({round(last * i / (_PANELS - 1)) for i in range(_PANELS)})
  ops = [theme.short_name(op) for op in weights.ops]
  edges = [f"{source} → {target}" for source, target in weights.edges]
  # All maps are one, with an empty column between each two.
  gap = np.full((len(edges), 1), np.nan)
  maps = [part for i in picks for part in (weights.values[i], gap)][:-1]
  grid = np.ma.masked_invalid(np.hstack([np.array(part) for part in maps]))
  starts = [i * (len(ops) + 1) for i in range(len(picks))]

  left, right, above = _text_inches(edges) + 0.12, 0.72, 0.26
  below = _text_inches(ops) + 0.14
  wide, tall = _SQUARE * grid.shape[1], _SQUARE * grid.shape[0]
  width, height = left + wide + right, above + tall + below
  with theme.style():
    figure = figure_lib.Figure(figsize=(width, height))
    axes, bar = (
      figure.add_axes(
        (start / width, below / height, span / width, tall / height)
      )
      for start, span in ((left, wide), (left + wide + 0.12, 0.1))
    )
    image = axes.pcolormesh(
      grid, cmap="cividis", vmin=0, vmax=weights.largest, linewidth=0
    )
    axes.invert_yaxis()
    for start, pick in zip(starts, picks, strict=True):
      axes.text(start, -0.4, f"epoch {weights.epochs[pick]}", size=8.5)
    columns = [start + k + 0.5 for start in starts for k in range(len(ops))]
    axes.set_xticks(columns, ops * len(picks), rotation=90)
    axes.set_yticks(np.arange(len(edges)) + 0.5, edges)
    figure.colorbar(image, cax=bar)
    for part in (axes, bar):
      part.tick_params(length=0, labelsize=_TYPE)
      part.grid(False)
      for spine in part.spines.values():
        spine.set_visible(False)
  return figure


def _text_inches(texts: Iterable[str]) -> float:
  """Width of the widest of some texts."""
  return max(theme.text_width(text, _TYPE) for text in texts) / 72
