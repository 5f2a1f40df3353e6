"""Pictures of cells: SVG and PNG by matplotlib, and text for Graphviz."""

import pathlib
from collections.abc import Sequence

from matplotlib import figure as figure_lib
from matplotlib import patches
from matplotlib import path as path_lib

from jnas.genotype import Cell
from jnas.report import layout as layout_lib
from jnas.report import picture, theme

POINTS_PER_INCH = 72.0
ARROW = 5.5  # length of an arrow's head, in points


def draw(cell: Cell) -> figure_lib.Figure:
  """A picture of a cell, as large as it needs to be.

  Operations are boxes on the arrows, coloured by kind; a node that nothing
  leads to, a tensor of zeros, is dashed.
  """
  layout = layout_lib.place(cell, theme.text_width)
  with theme.style():
    figure = figure_lib.Figure(
      figsize=(layout.width / POINTS_PER_INCH, layout.height / POINTS_PER_INCH)
    )
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, layout.width)
    axes.set_ylim(layout.height, 0)
    for arrow in layout.arrows:
      _draw_arrow(axes, arrow)
    for item in layout.items:
      _draw_item(axes, item)
  return figure


def to_dot(cell: Cell, *, title: str) -> str:
  """The cell in Graphviz's language."""
  lines = [
    f"digraph {_quote(title)} {{",
    "  rankdir=LR;",
    '  node [shape=box, style="rounded,filled", fillcolor="#eef1f4"];',
  ]
  for node in range(cell.num_inputs + len(cell.nodes)):
    lines.append(
      f"  {node} [label={_quote(layout_lib.node_name(cell, node))}];"
    )
  lines.append("  output;")
  for source, target, op in cell.connections():
    tint = theme.color(theme.family(op))
    lines.append(
      f"  {source} -> {target} [label={_quote(op)}, color={_quote(tint)}];"
    )
  lines += [f"  {node} -> output [style=dashed];" for node in cell.concat]
  return "\n".join([*lines, "}"]) + "\n"


def write(cell: Cell, path: pathlib.Path, *, title: str) -> list[pathlib.Path]:
  """Writes path.svg, path.png and path.dot; returns their paths."""
  dot = picture.with_ending(path, ".dot")
  picture.replace(dot, to_dot(cell, title=title).encode())
  return [*picture.write(picture.render(draw(cell)), path), dot]


def trace(
  arrow: layout_lib.Arrow, bend: float = 0.5
) -> Sequence[tuple[float, float]]:
  """Corners of an arrow: a start, a Bezier curve's points, an end.

  The curve stays between the two columns, horizontal at both ends.
  """
  start, end = arrow.start, arrow.end
  x0, y0 = start.x + start.width / 2, start.y
  x1, y1 = end.x - end.width / 2, end.y + arrow.port
  if end.kind == "node":
    x1 -= ARROW
  turn = bend * (x1 - x0)
  return (x0, y0), (x0 + turn, y0), (x1 - turn, y1), (x1, y1)


def op_of(arrow: layout_lib.Arrow) -> str | None:
  """The operation that an arrow enters or leaves, if any."""
  return next(
    (i.text for i in (arrow.end, arrow.start) if i.kind == "op"), None
  )


def _draw_arrow(axes, arrow: layout_lib.Arrow) -> None:
  op = op_of(arrow)
  tint = theme.color("muted" if op is None else theme.family(op))
  style = {
    "facecolor": "none",
    "edgecolor": tint,
    "linewidth": 1.1,
    "linestyle": (0, (3, 2)) if op == "none" else "solid",
  }
  curve = path_lib.Path(
    trace(arrow),
    [path_lib.Path.MOVETO] + [path_lib.Path.CURVE4] * 3,
  )
  axes.add_patch(patches.PathPatch(curve, **style))
  if arrow.end.kind == "waypoint":  # on through the column
    item = arrow.end
    left, right = item.x - item.width / 2, item.x + item.width / 2
    through = path_lib.Path([(left, item.y), (right, item.y)])
    axes.add_patch(patches.PathPatch(through, **style))
  if arrow.end.kind == "node":
    x, y = trace(arrow)[-1]
    half = 0.42 * ARROW
    axes.add_patch(
      patches.Polygon(
        [(x, y - half), (x + ARROW, y), (x, y + half)],
        facecolor=tint,
        linewidth=0,
      )
    )


def _draw_item(axes, item: layout_lib.Item) -> None:
  if item.kind == "waypoint":
    return
  if item.kind == "op":
    role = theme.family(item.text)
    fill, edge, radius = f"{role}-soft", role, item.height / 2
  else:
    fill, edge, radius = "node", "muted", 5.0
  axes.add_patch(
    patches.FancyBboxPatch(
      (item.x - item.width / 2, item.y - item.height / 2),
      item.width,
      item.height,
      boxstyle=f"round,pad=0,rounding_size={radius}",
      facecolor="none" if item.is_empty else theme.color(fill),
      edgecolor=theme.color(edge),
      linewidth=1.0,
      linestyle="dashed" if item.is_empty or item.text == "none" else "solid",
    )
  )
  axes.text(
    item.x,
    item.y,
    item.text,
    size=layout_lib.FONT_SIZE,
    ha="center",
    va="center_baseline",
    color=theme.color("ink"),
    parse_math=False,
  )


def _quote(text: str) -> str:
  escaped = text.replace("\\", "\\\\").replace('"', '\\"')
  return f'"{escaped}"'
