"""The comparison of several runs: one page, and the same as JSON.

The page needs no network and no other file, as that of a single run.
"""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

from jnas.report import comparison_parts, markup, page, picture, scatter, tables
from jnas.report import groups as groups_lib
from jnas.report import rows as rows_lib


def write(paths: Sequence[pathlib.Path], out: pathlib.Path) -> pathlib.Path:
  """Writes index.html and its pictures; returns the path of the page.

  Args:
    paths: run folders.
    out: folder to write, made if it is missing.

  Raises:
    FileNotFoundError: there is no such run folder.
    ValueError: a folder holds no run, or is given twice.
  """
  groups = groups_lib.read(paths)
  out.mkdir(parents=True, exist_ok=True)
  drawn = scatter.draw(groups, groups_lib.baselines(groups))
  chart = picture.render(drawn) if drawn else None
  if chart:
    picture.write(chart, out / "scatter")
  index = out / "index.html"
  picture.replace(index, render(groups, chart).encode())
  return index


def to_dict(paths: Sequence[pathlib.Path]) -> dict[str, Any]:
  """The comparison as plain values, ready for JSON.

  Args:
    paths: run folders.

  Raises:
    FileNotFoundError: there is no such run folder.
    ValueError: a folder holds no run, or is given twice.
  """
  groups = groups_lib.read(paths)
  return {
    "rows": [rows_lib.to_dict(row) for row in rows_lib.make(groups)],
    "runs": [
      {
        "group": group.label,
        "path": str(member.path),
        "seed": member.seed,
        **{
          name: value if math.isfinite(value) else None
          for name, value in comparison_parts.numbers_of(member).items()
        },
      }
      for group in groups
      for member in group.members
    ],
    "kendall_tau": {
      name: {"tau": tau if math.isfinite(tau) else None, "runs": count}
      for name, (tau, count) in groups_lib.orders(groups).items()
    },
  }


def render(
  groups: Sequence[groups_lib.Group], chart: picture.Picture | None
) -> str:
  """The page as one text."""
  rows = rows_lib.make(groups)
  num_runs = sum(len(group.members) for group in groups)
  parts = [
    ("comparison", "Comparison", comparison_parts.table(rows)),
    ("scatter", "Accuracy against parameters", comparison_parts.chart(chart)),
    ("variance", "Search and retraining", comparison_parts.variance(rows)),
    (
      "order",
      "Order of supernet, child and retrained",
      comparison_parts.order(groups),
    ),
    ("cells", "Cells", comparison_parts.cell_pictures(groups)),
    ("runs", "Runs", comparison_parts.runs(groups)),
  ]
  parts = [part for part in parts if part[2]]
  links = "".join(f'<a href="#{name}">{head}</a>' for name, head, _ in parts)
  content = "".join(
    f'<section id="{name}" aria-labelledby="{name}-head">'
    f'<h2 id="{name}-head">{head}</h2>{inner}</section>'
    for name, head, inner in parts
  )
  warnings = "".join(f"<li>{markup.text(w)}</li>" for w in _warnings(groups))
  body = (
    '<a class="skip" href="#main">Skip to the content</a>'
    f'<header><div class="run"><span>{num_runs} runs, {len(groups)} '
    f"{'group' if len(groups) == 1 else 'groups'}</span></div>"
    f"<h1>{markup.text(_headline(rows))}</h1>"
    + (
      f'<ul class="warnings" aria-label="Warnings">{warnings}</ul>'
      if warnings
      else ""
    )
    + f'<nav aria-label="Sections">{links}</nav></header>'
    f'<main id="main">{content}</main><footer>jnas report</footer>'
  )
  return page.shell(
    "Comparison · jnas report", body, style="compare.css", script="compare.js"
  )


def _headline(rows: Sequence[rows_lib.Row]) -> str:
  known = [r for r in rows if r.kind == "searched" and r.accuracy.count]
  if not known:
    return "No network has been retrained yet."
  best = max(known, key=lambda row: row.accuracy.mean)
  told = tables.percent(best.accuracy.mean)
  if best.accuracy.count > 1:
    told += f" {tables.spread(best.accuracy.deviation)}"
  text = f"{best.label}: {told} test accuracy over {_seeds(best)}"
  if len(known) > 1:
    text += ", the highest mean"
  if best.against_random.count:
    points = 100 * best.against_random.difference
    side = "above" if points >= 0 else "below"
    text += f", {abs(points):.2f} points {side} random cells of the same seeds"
  return f"{text}."


def _seeds(row: rows_lib.Row) -> str:
  count = row.accuracy.count
  return f"{count} {'run' if count == 1 else 'runs'}"


def _warnings(groups: Sequence[groups_lib.Group]) -> list[str]:
  """What a reader should beware of."""
  found = []
  if len({group.setting for group in groups}) > 1:
    found.append(
      "Not all groups were retrained alike: space, data or the training of the"
      " derived network differ. Compare only those where they do not."
    )
  for row in (row for row in rows_lib.make(groups) if row.kind == "searched"):
    if row.missing:
      seeds = ", ".join(map(str, row.missing))
      found.append(f"{row.label}: retraining has not ended for seed {seeds}.")
    if row.accuracy.count == 1:
      found.append(
        f"{row.label}: one run, so nothing says how much a seed moves it."
      )
    if not row.against_random.count:
      found.append(f"{row.label}: no random cell was trained alike.")
  for group in groups:
    for member in group.members:
      found += [f"{member.run.name}: {fault}." for fault in member.run.faults]
  return found
