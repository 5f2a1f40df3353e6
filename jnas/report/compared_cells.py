"""The cells of several runs side by side, each drawn once."""

from collections.abc import Sequence

from jnas.report import cells, markup, picture, tables
from jnas.report import groups as groups_lib

# Points above which a cell is not put beside another: it would be too small.
_WIDE = 520


def section(groups: Sequence[groups_lib.Group]) -> str:
  """The first cell of each group; the others on demand, each once."""
  shown, more = "", ""
  for number, group in enumerate(groups):
    for place, cell in enumerate(group.cells):
      drawn = _draw(f"g{number}m{place}", group, cell)
      if place == 0:
        shown += drawn
      else:
        more += drawn
  if not shown:
    return ""
  rest = markup.disclosure(
    "The other cells", f'<div class="cells">{more}</div>'
  )
  return f'<div class="cells">{shown}</div>' + (rest if more else "")


def _draw(name: str, group: groups_lib.Group, cell: groups_lib.Trained) -> str:
  member = cell.members[0]
  genotype = member.run.genotype
  if genotype is None:
    return ""
  told = f"seed {member.seed}, test accuracy {tables.percent(cell.accuracy)}"
  if len(cell.accuracies) > 1:
    told += f", mean of {len(cell.accuracies)} trainings"
  text, widest = "", 0.0
  for cell_type, half in genotype.cells().items():
    svg = picture.render(cells.draw(half)).svg
    counts = ", ".join(f"{n} × {op}" for op, n in half.op_counts().items())
    label = f"{cell_type} cell of {group.label}, seed {member.seed}: {counts}"
    widest = max(widest, markup.points_wide(svg))
    drawn = markup.inline_svg(svg, f"{name}-{cell_type}", label, natural=True)
    text += markup.figure(drawn, f"{cell_type}: {markup.text(counts)}")
  wide = ' class="wide"' if widest > _WIDE else ""
  return (
    f"<article{wide}><h3>{markup.text(group.label)}</h3>"
    f'<p class="note">{told}</p>{text}</article>'
  )
