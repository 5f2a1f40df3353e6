"""The sections of the page that compares runs, as HTML."""

import math
from collections.abc import Callable, Sequence

from jnas.report import cells, markup, picture, stats, tables
from jnas.report import groups as groups_lib
from jnas.report import rows as rows_lib


def table(rows: Sequence[rows_lib.Row]) -> str:
  """The comparison itself, with sortable columns, and how to read it."""
  columns: list[tuple[str, str, Callable[[rows_lib.Row], tuple[str, float]]]]
  columns = [
    ("n", "runs", lambda r: (_or_dash(r.accuracy.count), r.accuracy.count)),
    ("Mean", "test accuracy", lambda r: _cell(tables.percent, r.accuracy.mean)),
    (
      "Deviation",
      "points, n − 1",
      lambda r: _cell(_points, r.accuracy.deviation),
    ),
    ("Best", "of n", lambda r: _cell(tables.percent, r.accuracy.best)),
    (
      "Over random",
      "points, same seeds",
      lambda r: _cell(_difference, r.against_random.difference),
    ),
    ("p", "paired t-test", lambda r: _cell(_probability, r.against_random.p)),
    (
      "Parameters",
      "mean",
      lambda r: _cell(tables.short_count, r.params.mean),
    ),
    (
      "Multiply-adds",
      "an image, mean",
      lambda r: _cell(tables.short_count, r.madds.mean),
    ),
    ("Search", "device-hours", lambda r: _cell(_hours, r.search_hours.mean)),
    ("Retraining", "device-hours", lambda r: _cell(_hours, r.train_hours.mean)),
  ]
  head = "".join(
    f'<th scope="col" data-sort>{markup.text(name)}'
    f'<span class="note">{markup.text(note)}</span></th>'
    for name, note, _ in columns
  )
  lines = ""
  for row in rows:
    chip = row.kind if row.kind != "searched" else ""
    mark = f' <span class="chip">{chip}</span>' if chip else ""
    note = f"{row.data}; {row.split}"
    if row.source:
      note = f"{row.source}; {row.data}, full setting"
    fields = ""
    for _, _, value in columns:
      text, number = value(row)
      order = f' data-v="{number!r}"' if math.isfinite(number) else ""
      fields += f"<td{order}>{markup.text(text)}</td>"
    lines += (
      f'<tr class="{row.kind}"><th scope="row">{markup.text(row.label)}{mark}'
      f'<span class="note">{markup.text(note)}</span></th>{fields}</tr>'
    )
  table = (
    f'<table class="numbers sortable"><thead><tr><th scope="col" data-sort>'
    f"Group</th>{head}</tr></thead><tbody>{lines}</tbody></table>"
  )
  texts = (
    '<p class="lead">Runs that differ in the seed alone are one row. Accuracies'
    " are those of the retrained networks in their last epoch, on the test"
    " split, which nothing was fitted to or chosen by.</p>"
  )
  notes = (
    '<p class="note">Deviation: sample standard deviation over the runs. Over'
    " random: mean difference from the random cells of the same run, which were"
    " trained alike; p: two-sided paired t-test of these differences, a cell"
    " counting once however often it was trained. Random cells: a cell of"
    " one seed counts once, whichever runs trained it. Best: picked on the"
    " test split, so flattering. Device-hours: wall time by the number of"
    " devices; mean of the runs.</p>"
  )
  if any(row.kind == "published" for row in rows):
    notes += (
      '<p class="note">Published rows are what the papers report for CIFAR at'
      " full size; nothing of them was measured here.</p>"
    )
  return texts + markup.scroll(table, "comparison") + notes


def variance(rows: Sequence[rows_lib.Row]) -> str:
  """Spread of searches against retrainings, where it can be told."""
  known = [r for r in rows if math.isfinite(r.components.retrain)]
  if not known:
    return (
      "<p>Every cell was trained once, so the deviation above holds both: that"
      " of another search and that of training one cell anew. To tell them"
      " apart, train a cell found with other seeds (<code>jnas evaluate"
      " --genotype</code>) and compare these runs too.</p>"
    )
  table = tables.Table(
    ("cells", "trainings", "another search", "another training"),
    tuple(
      tables.Row(
        row.label,
        row.split,
        (
          str(row.components.num_searches),
          str(row.components.num_trainings),
          tables.spread(row.components.search),
          tables.spread(row.components.retrain),
        ),
      )
      for row in known
    ),
  )
  return (
    '<p class="lead">Standard deviations in points, by analysis of variance:'
    " what training one cell anew moves, and what searching anew adds.</p>"
    + markup.numbers(table, "search and retraining", lead=False)
  )


def order(groups: Sequence[groups_lib.Group]) -> str:
  """Kendall's tau between accuracies; empty for fewer than 3 runs."""
  orders = groups_lib.orders(groups)
  if all(count < 3 for _, count in orders.values()):
    return ""
  table = tables.Table(
    ("Kendall's tau", "runs"),
    tuple(
      tables.Row(
        name.capitalize(), "", (f"{tau:.2f}".replace("-", "−"), str(count))
      )
      for name, (tau, count) in orders.items()
      if math.isfinite(tau)
    ),
  )
  return (
    '<p class="lead">Whether the search knows which cell is better: 1 if two'
    " accuracies order the runs alike, 0 if they have nothing to do with each"
    " other. Supernet and child are measured on the validation split, the"
    " retrained network on the test split.</p>"
    + markup.numbers(table, "order", lead=False)
  )


def chart(drawn: picture.Picture | None) -> str:
  """Accuracy against parameters."""
  if drawn is None:
    return ""
  svg = markup.inline_svg(
    drawn.svg,
    "scatter",
    "test accuracy of every retrained network over its parameters",
    natural=False,
  )
  return f'<div class="scatter">{svg}</div>' + (
    '<p class="note">A mark for each network, test split. Beside this page:'
    ' <a href="scatter.svg">svg</a>, <a href="scatter.png">png</a>.</p>'
  )


def cell_pictures(groups: Sequence[groups_lib.Group]) -> str:
  """The cell of each group's first seed; those of the others on demand."""
  shown, more = "", ""
  for number, group in enumerate(groups):
    for place, member in enumerate(group.members):
      drawn = _draw(f"g{number}m{place}", group, member)
      if place == 0:
        shown += drawn
      else:
        more += drawn
  if not shown:
    return ""
  rest = markup.disclosure(
    "The other seeds", f'<div class="cells">{more}</div>'
  )
  return f'<div class="cells">{shown}</div>' + (rest if more else "")


def _draw(name: str, group: groups_lib.Group, member: groups_lib.Member) -> str:
  genotype = member.run.genotype
  if genotype is None:
    return ""
  told = tables.percent(member.accuracy)
  text = (
    f"<article><h3>{markup.text(group.label)}</h3>"
    f'<p class="note">seed {member.seed}, test accuracy {told}</p>'
  )
  for cell_type, cell in genotype.cells().items():
    svg = picture.render(cells.draw(cell)).svg
    counts = ", ".join(f"{n} × {op}" for op, n in cell.op_counts().items())
    label = f"{cell_type} cell of {group.label}, seed {member.seed}: {counts}"
    drawn = markup.inline_svg(svg, f"{name}-{cell_type}", label, natural=True)
    text += markup.figure(
      markup.scroll(drawn, label), f"{cell_type}: {markup.text(counts)}"
    )
  return f"{text}</article>"


def runs(groups: Sequence[groups_lib.Group]) -> str:
  """Every run with its own numbers."""
  columns = (
    "retrained, test",
    "random, test",
    "supernet, valid",
    "child, valid",
    "parameters",
  )
  lines = []
  for group in groups:
    for member in group.members:
      numbers = numbers_of(member)
      random = stats.summarize(member.baselines.values()).mean
      accuracies = (
        member.accuracy,
        random,
        member.supernet,
        member.child,
      )
      lines.append(
        tables.Row(
          f"{group.label}, seed {member.seed}",
          member.run.name,
          (
            *(tables.percent(value) for value in accuracies),
            tables.count(numbers["params"]),
          ),
        )
      )
  return markup.numbers(tables.Table(columns, tuple(lines)), "runs", lead=False)


def numbers_of(member: groups_lib.Member) -> dict[str, float]:
  """A run's numbers by name; NaN for what is not known."""
  return {
    "test_accuracy": member.accuracy,
    "random_test_accuracy": stats.summarize(member.baselines.values()).mean,
    "supernet_valid_accuracy": member.supernet,
    "child_valid_accuracy": member.child,
    "params": member.params,
    "madds": member.madds,
    "search_device_hours": member.search_hours,
    "train_device_hours": member.train_hours,
  }


# --- numbers in words


def _cell(form: Callable[[float], str], value: float) -> tuple[str, float]:
  return (form(value) if math.isfinite(value) else tables.UNKNOWN), value


def _or_dash(count: int) -> str:
  return str(count) if count else tables.UNKNOWN


def _points(value: float) -> str:
  return f"{100 * value:.2f}"


def _difference(value: float) -> str:
  return f"{100 * value:+.2f}".replace("-", "−")


def _probability(value: float) -> str:
  return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _hours(value: float) -> str:
  return f"{value:.2g}" if value < 10 else f"{value:,.0f}"
