"""Colours and styles of every picture, for light and for dark pages.

Pictures are drawn in the light colours, each used for one role only; in a page
`recolour` turns them into variables, which the style sheet sets by theme.
"""

import re
from typing import Any, NamedTuple

import matplotlib
from matplotlib import font_manager, textpath


class Role(NamedTuple):
  """A colour by what it is for, on light and on dark ground."""

  light: str
  dark: str


ROLES = {
  "ink": Role("#1f2328", "#e6e9ed"),
  "muted": Role("#57606a", "#9da7b1"),
  "line": Role("#d3d9df", "#363d47"),
  "ground": Role("#ffffff", "#12161b"),
  "link": Role("#0a5ea8", "#79b8ff"),
  "node": Role("#eef1f4", "#2a3139"),
  "sep": Role("#1886de", "#3b8cf5"),
  "sep-soft": Role("#e3f1fc", "#12283f"),
  "dil": Role("#0e5a28", "#7ae8a0"),
  "dil-soft": Role("#dcf0e2", "#143221"),
  "conv": Role("#9d128e", "#f5a3f5"),
  "conv-soft": Role("#f8e5f5", "#3a1c39"),
  "pool": Role("#ea5b0c", "#f0783f"),
  "pool-soft": Role("#fdeade", "#3d2213"),
  "skip": Role("#1c1f23", "#e3e5e8"),
  "skip-soft": Role("#e6e9ec", "#343c45"),
  "heat": Role("#6b9bd0", "#3d6a96"),
  "warn": Role("#9a6700", "#e3b341"),
  "warn-soft": Role("#fff8e1", "#2e2612"),
  "none": Role("#8c96a1", "#88929d"),
  "none-soft": Role("#f8f9fa", "#1a1f26"),
}
_DASHES = ("", "5 2.5", "1.5 2", "7 2 1.5 2", "9 3", "3 1.5 1 1.5 1 1.5")
_FONT = "DejaVu Sans"  # comes with matplotlib

# Small type, quiet axes, text kept as text.
_SETTINGS: Any = {
  "axes.axisbelow": True,
  "axes.edgecolor": ROLES["line"].light,
  "axes.facecolor": "none",
  "axes.grid": True,
  "axes.grid.axis": "y",
  "axes.labelcolor": ROLES["muted"].light,
  "axes.labelsize": 9,
  "axes.spines.right": False,
  "axes.spines.top": False,
  "axes.titlecolor": ROLES["ink"].light,
  "axes.titlelocation": "left",
  "axes.titlesize": 10,
  "axes.titley": 1.0,  # not sought anew at every drawing
  "figure.facecolor": "none",
  "font.family": _FONT,
  "font.size": 9,
  "grid.color": ROLES["line"].light,
  "grid.linewidth": 0.6,
  "legend.fontsize": 8.5,
  "legend.frameon": False,
  "legend.labelcolor": ROLES["ink"].light,
  "lines.linewidth": 1.6,
  "svg.fonttype": "none",
  "svg.hashsalt": "jnas",
  "text.color": ROLES["ink"].light,
  "xtick.color": ROLES["line"].light,
  "xtick.labelcolor": ROLES["muted"].light,
  "xtick.labelsize": 8.5,
  "ytick.color": ROLES["line"].light,
  "ytick.labelcolor": ROLES["muted"].light,
  "ytick.labelsize": 8.5,
}


def style():
  """The context in which figures are made and saved."""
  return matplotlib.rc_context(_SETTINGS)


def color(role: str) -> str:
  """The light colour of a role."""
  return ROLES[role].light


def family(op: str) -> str:
  """The role of an operation's kind: sep, dil, conv, pool, skip or none."""
  op = op.rpartition(":")[2]
  if op in ("none", "noise"):
    return "none"
  if op in ("skip_connect", "identity"):
    return "skip"
  if "pool" in op:
    return "pool"
  if op.startswith(("sep_", "dil_")):
    return op[:3]
  return "conv"


def short_name(op: str) -> str:
  """An operation's name for a picture: no package, at most 24 letters."""
  name = op.rpartition(":")[2] or op
  return name if len(name) <= 24 else f"{name[:14]}…{name[-9:]}"


def short_label(label: str) -> str:
  """A name for a legend: at most 52 letters."""
  return label if len(label) <= 52 else f"{label[:51]}…"


def dashes(ops: tuple[str, ...]) -> dict[str, str]:
  """SVG dash patterns that tell apart operations of the same kind."""
  seen: dict[str, int] = {}
  pattern = {}
  for op in ops:
    position = seen.get(family(op), 0)
    seen[family(op)] = position + 1
    pattern[op] = _DASHES[position % len(_DASHES)]
  return pattern


def css() -> str:
  """The roles as CSS variables, for both themes."""
  light = "".join(f"--{name}:{role.light};" for name, role in ROLES.items())
  dark = "".join(f"--{name}:{role.dark};" for name, role in ROLES.items())
  return (
    f":root{{color-scheme:light dark;{light}}}\n"
    f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
  )


def recolour(svg: str) -> str:
  """An SVG whose roles' colours follow the page's theme."""
  by_color = {role.light: name for name, role in ROLES.items()}
  return re.sub(
    "|".join(by_color), lambda found: f"var(--{by_color[found[0]]})", svg
  )


def text_width(text: str, size: float) -> float:
  """Width of a line of text in points."""
  properties = font_manager.FontProperties(family=_FONT, size=size)
  path = textpath.TextToPath()
  width, _, _ = path.get_text_width_height_descent(text, properties, False)
  return width
