"""Pictures of PT's analyses of a trained supernet.

Source: PT (arXiv:2108.04392), Figures 1 and 3.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import figure as figure_lib

from jnas.report import theme

_WIDTH = 4.0  # inches: about the width of a phone
_ROLES = ("sep", "pool")


def plot_strength(edges: Sequence[Mapping[str, Any]]) -> figure_lib.Figure:
  """Mixing weight and discretisation accuracy of each operation, by edge.

  Args:
    edges: each with its `cell_type`, `edge`, `ops`, `weights` and
      `accuracies`.
  """
  rows = -(-len(edges) // 2)
  with theme.style():
    figure = figure_lib.Figure(figsize=(_WIDTH, 0.6 + 1.7 * rows))
    for index, edge in enumerate(edges):
      axes = figure.add_subplot(rows, 2, index + 1)
      position = np.arange(len(edge["ops"]))
      axes.bar(position - 0.2, edge["weights"], 0.4, color=theme.color("sep"))
      other = axes.twinx()
      other.bar(
        position + 0.2, edge["accuracies"], 0.4, color=theme.color("pool")
      )
      other.set_ylim(*_close(edge["accuracies"]))
      other.grid(False)
      other.tick_params(labelsize=6)
      axes.tick_params(labelsize=6)
      axes.set_xticks(position)
      axes.set_xticklabels(
        [theme.short_name(op) for op in edge["ops"]], rotation=60, ha="right"
      )
      source, target = edge["edge"]
      axes.set_title(f"{edge['cell_type']} {source} → {target}", fontsize=8)
    figure.legend(
      ["weight", "accuracy"],
      labelcolor=[theme.color(role) for role in _ROLES],
      loc="upper left",
      ncols=2,
      borderaxespad=0.2,
    )
    height = figure.get_size_inches()[1]
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / height))
  return figure


def plot_skip(
  differences: Mapping[str, Sequence[float]], accuracies: Sequence[float]
) -> figure_lib.Figure:
  """Skip's lead over convolutions against the supernet's accuracy.

  Args:
    differences: of each cell type, one for each epoch; NaN where it has no
      edge with both.
    accuracies: of the supernet at the same epochs, in 0..1.
  """
  with theme.style():
    figure = figure_lib.Figure(figsize=(_WIDTH, 2.8))
    axes = figure.add_subplot()
    for role, (name, values) in zip(_ROLES, differences.items(), strict=False):
      axes.plot(
        accuracies, values, "o", color=theme.color(role), label=name, ms=3
      )
    axes.axhline(0, color=theme.color("muted"), linewidth=0.8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    axes.set_xlabel("validation accuracy of the supernet")
    axes.set_ylabel("weight of skip − convolution")
    axes.legend()
    figure.tight_layout()
  return figure


def _close(values: Sequence[float]) -> tuple[float, float]:
  """Bounds that show differences of accuracies."""
  low, high = min(values), max(values)
  margin = max(0.25 * (high - low), 0.005)
  return max(low - margin, 0.0), high + margin
