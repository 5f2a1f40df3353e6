"""The sections of the page that compares runs, as HTML."""

import math
from collections.abc import Callable, Mapping, Sequence

from jnas.report import comparison_words, markup, orders, picture, tables
from jnas.report import groups as groups_lib
from jnas.report import rows as rows_lib
from jnas.report.members import Member

# Of a table: what it says, what it sorts by, a note below.
_Field = tuple[str, float, str]


def table(rows: Sequence[rows_lib.Row]) -> str:
  """The comparison itself, with sortable columns, and how to read it."""
  columns: list[tuple[str, str, Callable[[rows_lib.Row], _Field]]]
  columns = [
    ("n", "cells, trainings", _count),
    ("Mean", "test accuracy", lambda r: _cell(tables.percent, r.accuracy.mean)),
    (
      "Deviation",
      "points, of cells",
      lambda r: _cell(_points, r.accuracy.deviation),
    ),
    ("Best", "one training", _best),
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
    ("Search", "device time", lambda r: _cell(_hours, r.search_hours.mean)),
    ("Retraining", "device time", lambda r: _cell(_hours, r.train_hours.mean)),
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
    if row.kind == "random":
      note += "; drawn, not searched for"
    if row.source:
      note = f"{row.source}; {row.data}, full setting"
    fields = ""
    for _, _, value in columns:
      text, number, below = value(row)
      order = f' data-v="{number!r}"' if math.isfinite(number) else ""
      more = f'<span class="note">{markup.text(below)}</span>' if below else ""
      fields += f"<td{order}>{markup.text(text)}{more}</td>"
    lines += (
      f'<tr class="{row.kind}"><th scope="row">{markup.text(row.label)}{mark}'
      f'<span class="note">{markup.text(note)}</span></th>{fields}</tr>'
    )
  table = (
    f'<table class="numbers sortable"><thead><tr><th scope="col" data-sort>'
    f"Group</th>{head}</tr></thead><tbody>{lines}</tbody></table>"
  )
  texts = (
    '<p class="lead">Runs that differ in the seed alone are one row, with the'
    " runs that were given one of their cells. Accuracies"
    " are those of the retrained networks in their last epoch, on the test"
    " split, which nothing was fitted to or chosen by.</p>"
  )
  notes = (
    '<p class="note">A cell counts once however often it was trained, with the'
    " mean of its trainings: so in mean, deviation (sample standard deviation,"
    " n − 1), over random and p. Over random: mean difference from the random"
    " cells of the run that found the cell, which were trained alike; p:"
    " two-sided paired t-test of these differences. Best: of single trainings,"
    " and picked on the test split, so flattering. Random cells: drawn"
    " uniformly and each counted, which is not random search, where the best of"
    " several is kept; a cell of one seed counts once, whichever runs trained"
    " it. Device time: wall time by the number of devices; mean of the runs."
    "</p>"
  )
  if any(row.kind == "published" for row in rows):
    notes += (
      '<p class="note">Published rows are what the papers report for CIFAR at'
      " full size; nothing of them was measured here.</p>"
    )
  return texts + markup.scroll(table, "comparison") + notes


def variance(
  rows: Sequence[rows_lib.Row], groups: Sequence[groups_lib.Group]
) -> str:
  """Spread of searches against retrainings, or how to come to know it."""
  known = [r for r in rows if math.isfinite(r.components.retrain)]
  if not known:
    return (
      "<p>Every cell was trained once, so the deviation above holds both: that"
      " of another search and that of training one cell anew. To tell them"
      " apart, train a cell found with other seeds, and give these runs to"
      " <code>jnas report</code> too. With the config that the cell was"
      " trained with in place of CONFIG, and its options for"
      " <code>data</code> and <code>evaluate</code>:</p>"
      + markup.code(_advice(groups))
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
  pooled = orders.pooled(groups)
  if all(found.count < 3 for found in pooled.values()):
    return ""
  lines = [("all groups", pooled)]
  if len(groups) > 1:
    lines += [(group.label, orders.within(group)) for group in groups]
  table = tables.Table(
    ("Kendall's tau", "p", "runs"),
    tuple(
      tables.Row(
        name.capitalize(),
        label,
        (
          f"{found[name].tau:.2f}".replace("-", "−"),
          _probability(found[name].p),
          str(found[name].count),
        ),
      )
      for name in orders.PAIRS
      for label, found in lines
      if math.isfinite(found[name].tau)
    ),
  )
  return (
    '<p class="lead">Whether the search knows which cell is better: 1 if two'
    " accuracies order the runs alike, 0 if they have nothing to do with each"
    " other. Over all groups it also tells one method from another: what a"
    " search knows of its own cells is the order within a group, and of few"
    " runs tau says little (p). Supernet and child are measured on the"
    " validation split, the retrained network on the test split.</p>"
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


def losses(drawn: Mapping[str, picture.Picture]) -> str:
  """Losses of the supernets over the epochs of their searches."""
  if not drawn:
    return ""
  titles = {
    "loss": "loss of the supernets on the validation split, by epoch",
    "excess": "validation loss less training loss, by epoch",
  }
  charts = "".join(
    '<div class="scatter">'
    f"{markup.inline_svg(shown.svg, name, titles[name], natural=False)}</div>"
    for name, shown in drawn.items()
  )
  files = ", ".join(
    f'<a href="{name}.{kind}">{name}.{kind}</a>'
    for name in drawn
    for kind in ("svg", "png")
  )
  return (
    f"{charts}"
    '<p class="note">Thick: the mean of a group; thin: each of its runs. A'
    " validation loss far above the training loss says that the search fits its"
    f" training images too well. Beside this page: {files}.</p>"
  )


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
      accuracies = (
        member.accuracy,
        member.random,
        member.supernet,
        member.child,
      )
      lines.append(
        tables.Row(
          f"{group.label}, seed {member.seed}",
          member.run.name + ", cell given" * member.run.is_given,
          (
            *(tables.percent(value) for value in accuracies),
            tables.count(numbers["params"]),
          ),
        )
      )
  return markup.numbers(tables.Table(columns, tuple(lines)), "runs", lead=False)


def numbers_of(member: Member) -> dict[str, float]:
  """A run's numbers by name; NaN for what is not known."""
  return {
    "test_accuracy": member.accuracy,
    "random_test_accuracy": member.random,
    "supernet_valid_accuracy": member.supernet,
    "child_valid_accuracy": member.child,
    "params": member.params,
    "madds": member.madds,
    "search_device_hours": member.search_hours,
    "train_device_hours": member.train_hours,
  }


# --- numbers in words


def _cell(form: Callable[[float], str], value: float) -> _Field:
  return (form(value) if math.isfinite(value) else tables.UNKNOWN), value, ""


def _count(row: rows_lib.Row) -> _Field:
  """How many cells, and trainings where they are more."""
  if not row.accuracy.count:
    return tables.UNKNOWN, math.nan, ""
  words = comparison_words.count_words(row.accuracy.count, row.trainings)
  return words[0], row.accuracy.count, ", ".join(words[1:])


def _best(row: rows_lib.Row) -> _Field:
  text, value, _ = _cell(tables.percent, row.accuracy.best)
  return text, value, row.best_run


def _advice(groups: Sequence[groups_lib.Group]) -> str:
  """The command that trains a cell of the first group anew."""
  group = next((g for g in groups if g.trained), groups[0])
  member = (group.trained or group.cells)[0].members[0]
  seed = 1 + max(m.seed for m in group.members)
  again = member.path.with_name(f"{member.run.name}-again-{seed}")
  return (
    f"jnas evaluate --config CONFIG --genotype {member.path / 'genotype.json'}"
    f" --seed {seed} --workdir {again} --evaluate.random-baselines 0"
  )


def _points(value: float) -> str:
  return f"{100 * value:.2f}"


def _difference(value: float) -> str:
  return f"{100 * value:+.2f}".replace("-", "−")


def _probability(value: float) -> str:
  return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _hours(value: float) -> str:
  """Hours, or what is short in minutes or seconds."""
  if value >= 10:
    return f"{value:,.0f} h"
  if value >= 0.1:
    return f"{value:.2g} h"
  minutes = 60 * value
  return f"{minutes:.2g} min" if minutes >= 1 else f"{60 * minutes:.2g} s"
