"""The drawing of a cell in few bytes, as a part of the page.

It looks like the picture of `cells.draw`; a film has many of them.
"""

from jnas.genotype import Cell
from jnas.report import cells, markup, theme
from jnas.report import layout as layout_lib

_BASELINE = 3.3  # of a text below the middle of its box, in points


def draw(cell: Cell, label: str) -> tuple[str, float]:
  """An SVG in the page's colours, and its height in points.

  Args:
    cell: any cell.
    label: what it shows, for those who cannot see it.
  """
  layout = layout_lib.place(cell, theme.text_width)
  lines: dict[str, str] = {}  # by look; arrows of one look are one path
  for arrow in layout.arrows:
    op = cells.op_of(arrow)
    role = "muted" if op is None else theme.family(op)
    curve, head = _arrow(arrow)
    dash = ' stroke-dasharray="3 2"' * (op == "none")
    stroke = f'stroke="var(--{role})" stroke-width="1.1"{dash}'
    lines[stroke] = lines.get(stroke, "") + curve
    if head:
      fill = f'fill="var(--{role})"'
      lines[fill] = lines.get(fill, "") + head
  width, height = _short(layout.width), _short(layout.height)
  svg = (
    f'<svg viewBox="0 0 {width} {height}" style="width:{width}pt" role="img"'
    f' aria-label="{markup.text(label)}">'
    + "".join(f'<path {look} d="{d}"/>' for look, d in lines.items())
    + "".join(_item(i) for i in layout.items if i.kind != "waypoint")
    + "</svg>"
  )
  return svg, layout.height


def _arrow(arrow: layout_lib.Arrow) -> tuple[str, str]:
  """A curve, and the head where it enters a node."""
  start, *bend, (x, y) = cells.trace(arrow)
  curve = f"M{_point(*start)}C{' '.join(_point(*p) for p in [*bend, (x, y)])}"
  if arrow.end.kind == "waypoint":
    curve += f"h{_short(arrow.end.width)}"
  if arrow.end.kind != "node":
    return curve, ""
  half = 0.42 * cells.ARROW
  tip = _point(x + cells.ARROW, y)
  return curve, f"M{_point(x, y - half)}L{tip} {_point(x, y + half)}z"


def _item(item: layout_lib.Item) -> str:
  """A box and its text."""
  if item.kind == "op":
    role = theme.family(item.text)
    fill, edge, radius = f"{role}-soft", role, item.height / 2
  else:
    fill, edge, radius = "node", "muted", 5.0
  look = f'stroke="var(--{edge})"'
  if not item.is_empty:
    look += f' fill="var(--{fill})"'
  if item.is_empty or item.text == "none":
    look += ' stroke-dasharray="3.7 1.6"'
  left, top = item.x - item.width / 2, item.y - item.height / 2
  return (
    f'<rect x="{_short(left)}" y="{_short(top)}" width="{_short(item.width)}"'
    f' height="{_short(item.height)}" rx="{_short(radius)}" {look}/>'
    f'<text x="{_short(item.x)}" y="{_short(item.y + _BASELINE)}">'
    f"{markup.text(item.text)}</text>"
  )


def _point(x: float, y: float) -> str:
  return f"{_short(x)},{_short(y)}"


def _short(value: float) -> str:
  return f"{value:.1f}".removesuffix(".0")
