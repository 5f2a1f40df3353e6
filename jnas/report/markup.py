"""Pieces of the page: figures, tables, texts, as HTML."""

import html
import json
import math
import re
from collections.abc import Sequence

from jnas.report import mixing, tables, theme

_MOST_EPOCHS = 120  # of the weights' slider and panels
_PANEL = (150, 92)  # width and height of a panel, in CSS pixels


def text(value: object) -> str:
  """Text that no markup can break out of."""
  return html.escape(str(value), quote=True)


def inline_svg(svg: str, name: str, label: str, *, natural: bool) -> str:
  """A picture in the page's own text, in the page's colours.

  Args:
    svg: as matplotlib writes it.
    name: of the picture; keeps its identifiers apart from other pictures'.
    label: what it shows, for those who cannot see it.
    natural: True for its own size, False for the width of its place.
  """
  svg = svg[svg.index("<svg") :]
  svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
  svg = re.sub(r'\bid="', f'id="{name}-', svg)
  svg = re.sub(r'(href="|url\()#', rf"\g<1>#{name}-", svg)
  head, rest = svg.split(">", 1)
  width = points_wide(head)
  box = re.search(r'viewBox="[^"]*"', head)
  style = f' style="width:{width:g}pt"' if natural and width else ""
  return (
    f'<svg {box[0] if box else ""} role="img" aria-label="{text(label)}"'
    f"{style}>{theme.recolour(rest)}"
  )


def points_wide(svg: str) -> float:
  """Width of a picture as matplotlib writes it, in points; 0 if unknown."""
  width = re.search(r'\bwidth="([\d.]+)pt"', svg)
  return float(width[1]) if width else 0.0


def figure(content: str, caption: str) -> str:
  """A figure with a caption; both are HTML."""
  return f"<figure>{content}<figcaption>{caption}</figcaption></figure>"


def scroll(content: str, label: str) -> str:
  """Content that scrolls sideways where it is too wide, by keyboard too."""
  return (
    '<div class="scroll" tabindex="0" role="region"'
    f' aria-label="{text(label)}">{content}</div>'
  )


def numbers(table: tables.Table, label: str, *, lead: bool) -> str:
  """A table of numbers.

  Args:
    table: the numbers.
    label: what they are, for those who cannot see it.
    lead: whether the first row is the most important one.
  """
  head = "".join(f'<th scope="col">{text(c)}</th>' for c in table.columns)
  rows = ""
  for i, row in enumerate(table.rows):
    note = f'<span class="note">{text(row.note)}</span>' if row.note else ""
    values = "".join(f"<td>{text(value)}</td>" for value in row.values)
    rows += (
      '<tr class="first">' if lead and not i else "<tr>"
    ) + f'<th scope="row">{text(row.label)}{note}</th>{values}</tr>'
  return scroll(
    f'<table class="numbers"><thead><tr><th></th>{head}</tr></thead>'
    f"<tbody>{rows}</tbody></table>",
    label,
  )


def pairs(rows: Sequence[tuple[str, object]]) -> str:
  """A plain table of names and values."""
  lines = "".join(
    f'<tr><th scope="row" class="mono">{text(name)}</th>'
    f'<td class="mono">{text(value)}</td></tr>'
    for name, value in rows
  )
  return f'<table class="plain">{lines}</table>'


def code(content: str) -> str:
  """A text to be copied."""
  return (
    f'<div class="code"><pre tabindex="0">{text(content)}</pre>'
    '<button type="button" data-copy hidden>Copy</button></div>'
  )


def disclosure(title: str, content: str) -> str:
  """Content that opens on demand."""
  return f"<details><summary>{text(title)}</summary>{content}</details>"


def heat_table(weights: mixing.Weights, title: str) -> str:
  """The weights of an epoch as a table, with a slider over the epochs."""
  picks = thin(len(weights.epochs))
  data = {
    "epochs": [weights.epochs[i] for i in picks],
    "largest": round(1000 * weights.largest),
    "values": [
      [_thousandths(w) for row in weights.values[i] for w in row] for i in picks
    ],
    "chosen": [
      sorted(e * len(weights.ops) + k for e, k in weights.chosen[i])
      for i in picks
    ],
  }
  last = picks[-1]
  columns = "".join(
    f'<th scope="col" title="{text(op)}">'
    f"<span>{text(theme.short_name(op))}</span></th>"
    for op in weights.ops
  )
  rows = ""
  for e, (source, target) in enumerate(weights.edges):
    fields = "".join(
      _heat_field(weights, last, e, k) for k in range(len(weights.ops))
    )
    rows += f'<tr><th scope="row">{source} → {target}</th>{fields}</tr>'
  name = f"weights-{weights.cell_type}"
  table = (
    f'<table class="heat"><thead><tr><th></th>{columns}</tr></thead>'
    f"<tbody>{rows}</tbody></table>"
  )
  return (
    '<figure data-weights><script type="application/json">'
    + json.dumps(data, separators=(",", ":"))
    + f"</script><h3>{text(title)}</h3>"
    f'<div class="slider" hidden><label for="{name}">Epoch</label>'
    f'<input id="{name}" type="range" min="0" max="{len(picks) - 1}"'
    f' value="{len(picks) - 1}"><output for="{name}"></output></div>'
    + scroll(table, f"weights of the {weights.cell_type} cell")
    + "</figure>"
  )


def panels(weights: mixing.Weights) -> str:
  """The weights of every edge over the epochs, a small chart an edge."""
  return "".join(
    _panel(weights, e, thin(len(weights.epochs)))
    for e in range(len(weights.edges))
  )


def legend(ops: tuple[str, ...]) -> str:
  """Colours and dashes of the operations."""
  entries = ""
  for op, pattern in theme.dashes(ops).items():
    line = (
      '<svg viewBox="0 0 32 10" aria-hidden="true"><line x1="0" y1="5" x2="32"'
      f' y2="5" {_stroke(op, pattern)}/></svg>'
    )
    entries += f"<li>{line}{text(op)}</li>"
  return f'<ul class="legend">{entries}</ul>'


def thin(count: int, most: int = _MOST_EPOCHS) -> list[int]:
  """Positions spread evenly over a long list, the first and last among them."""
  if count <= most:
    return list(range(count))
  return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def _heat_field(weights: mixing.Weights, epoch: int, e: int, k: int) -> str:
  weight = weights.values[epoch][e][k]
  if not math.isfinite(weight):
    return '<td class="absent"></td>'
  chosen = ' class="chosen"' * ((e, k) in weights.chosen[epoch])
  return (
    f'<td{chosen} style="--w:{100 * weight / weights.largest:.0f}%">'
    f"{f'{weight:.2f}'.removeprefix('0')}</td>"
  )


def _panel(weights: mixing.Weights, e: int, picks: Sequence[int]) -> str:
  """One edge's chart: from 0 to the largest weight of the cell type."""
  width, height = _PANEL
  first, last = weights.epochs[0], weights.epochs[-1]
  span = max(1, last - first)

  def point(i: int, weight: float) -> str:
    x = (weights.epochs[i] - first) / span * (width - 1)
    return f"{x:.1f},{height - 2 - (height - 4) * weight / weights.largest:.1f}"

  curves = ""
  for k, (op, pattern) in enumerate(theme.dashes(weights.ops).items()):
    known = [(i, weights.values[i][e][k]) for i in picks]
    known = [point(i, w) for i, w in known if math.isfinite(w)]
    if not known:
      continue
    if len(known) == 1:  # a mark in place of a curve
      x, y = known[0].split(",")
      known.append(f"{float(x) + 8:.1f},{y}")
    curves += f'<path d="M{"L".join(known)}" {_stroke(op, pattern)}/>'
  source, target = weights.edges[e]
  op, weight = weights.strongest(e)
  return (
    f"<figure><figcaption><b>{source} → {target}</b>"
    f" {text(theme.short_name(op))} {weight:.2f}</figcaption>"
    f'<svg viewBox="0 0 {width} {height}" role="img"'
    f' aria-label="weights of edge {source} to {target}, at the end'
    f' {text(op)} leads">'
    f'<line x1="0" x2="{width}" y1="2" y2="2" stroke-dasharray="2 3"/>'
    f'<line x1="0" x2="{width}" y1="{height - 2}" y2="{height - 2}"/>'
    f'<text x="{width}" y="12" text-anchor="end">{weights.largest:.2f}</text>'
    f"{curves}</svg></figure>"
  )


def _stroke(op: str, pattern: str) -> str:
  dash = f' stroke-dasharray="{pattern}"' if pattern else ""
  return f'stroke="var(--{theme.family(op)})"{dash}'


def _thousandths(weight: float) -> int | None:
  return round(1000 * weight) if math.isfinite(weight) else None
