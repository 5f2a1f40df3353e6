"""The comparison of several runs: one page, and the same as JSON.

The page needs no network and no other file, as that of a single run.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from jnas.report import (
  compared_cells,
  comparison_parts,
  comparison_words,
  inference,
  markup,
  members,
  orders,
  page,
  picture,
  random_cells,
  scatter,
  trajectories,
)
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
  drawn = scatter.draw(groups, random_cells.read(groups))
  chart = picture.render(drawn.figure) if drawn else None
  if drawn and chart:
    chart = chart._replace(svg=scatter.add_titles(chart.svg, drawn.titles))
    picture.write(chart, out / "scatter")
  losses = {
    name: picture.render(figure)
    for name, figure in trajectories.losses(groups).items()
  }
  for name, shown in losses.items():
    picture.write(shown, out / name)
  index = out / "index.html"
  picture.replace(index, render(groups, chart, losses).encode())
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
        "given": member.run.is_given,
        "path": str(member.path),
        "seed": member.seed,
        **{
          name: members.finite(value)
          for name, value in comparison_parts.numbers_of(member).items()
        },
      }
      for group in groups
      for member in group.members
    ],
    "kendall_tau": {
      name: {
        **_order(found),
        "within": {
          group.label: _order(orders.within(group)[name]) for group in groups
        },
      }
      for name, found in orders.pooled(groups).items()
    },
  }


def render(
  groups: Sequence[groups_lib.Group],
  chart: picture.Picture | None,
  losses: Mapping[str, picture.Picture],
) -> str:
  """The page as one text.

  Args:
    groups: of runs.
    chart: accuracy against parameters; None if there is none.
    losses: of the supernets over the epochs, by name.
  """
  rows = rows_lib.make(groups)
  num_runs = sum(len(group.members) for group in groups)
  parts = [
    ("comparison", "Comparison", comparison_parts.table(rows)),
    ("scatter", "Accuracy against parameters", comparison_parts.chart(chart)),
    (
      "variance",
      "Search and retraining",
      comparison_parts.variance(rows, groups),
    ),
    (
      "order",
      "Order of supernet, child and retrained",
      comparison_parts.order(groups),
    ),
    ("losses", "Loss in the search", comparison_parts.losses(losses)),
    ("cells", "Cells", compared_cells.section(groups)),
    ("runs", "Runs", comparison_parts.runs(groups)),
  ]
  parts = [part for part in parts if part[2]]
  links = "".join(f'<a href="#{name}">{head}</a>' for name, head, _ in parts)
  content = "".join(
    f'<section id="{name}" aria-labelledby="{name}-head">'
    f'<h2 id="{name}-head">{head}</h2>{inner}</section>'
    for name, head, inner in parts
  )
  warnings = "".join(
    f"<li>{markup.text(w)}</li>" for w in comparison_words.warnings(groups)
  )
  body = (
    '<a class="skip" href="#main">Skip to the content</a>'
    f'<header><div class="run"><span>{num_runs} runs, {len(groups)} '
    f"{'group' if len(groups) == 1 else 'groups'}</span></div>"
    f"<h1>{markup.text(comparison_words.headline(groups))}</h1>"
    + (
      f'<ul class="warnings" aria-label="Warnings">{warnings}</ul>'
      if warnings
      else ""
    )
    + f'<nav aria-label="Sections">{links}</nav></header>'
    f'<main id="main">{content}</main><footer>jnas report</footer>'
  )
  return page.shell(
    markup.text(comparison_words.title(groups)),
    body,
    style="compare.css",
    script="compare.js",
  )


def _order(order: inference.Order) -> dict[str, Any]:
  return {
    "tau": members.finite(order.tau),
    "p": members.finite(order.p),
    "runs": order.count,
  }
