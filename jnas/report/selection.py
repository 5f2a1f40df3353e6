"""The section of the page on what selected the cells, decision by decision."""

import math
from collections.abc import Sequence

from jnas.report import curves, decisions, folder, markup, plots, tables, theme
from jnas.report.decisions import Decision

_MOST_SAMPLES = 10  # of sampled cells, the best


def draw(run: folder.Run) -> dict:
  """The supernet's accuracy over the decisions, by the picture's name."""
  if run.selection is None:
    return {}
  figure = plots.selection_accuracy(run.selection, _start(run))
  return {"selection_accuracy": figure}


def section(run: folder.Run, pictures: curves.Pictures) -> str:
  """What was decided and by which scores; empty without a selection."""
  log = run.selection
  if log is None:
    return ""
  captions = {
    "selection_accuracy": "Accuracy of the supernet: every point on valid comes"
    " after tuning and before the next decisions. The child is the cell"
    " selected, with the tuned supernet's weights."
  }
  table = markup.numbers(_table(run, log), "selection", lead=True)
  charts = curves.charts(pictures, captions, f'<div class="wide">{table}</div>')
  if run.setting("selection", "name") == "sampled":
    return charts + _samples(run, log)
  made = decisions.read(log, _start(run), _criterion(run))
  content = charts
  for title, is_node in (("Operations", False), ("Edges of the nodes", True)):
    numbered = [
      (number, decision)
      for number, decision in enumerate(made, start=1)
      if decision.is_node == is_node
    ]
    if numbered:
      lead = _lead(run, [decision for _, decision in numbered], is_node)
      content += f'<h3>{title}</h3><p class="lead">{lead}</p>' + markup.scroll(
        _scores(run, numbered), f"{title.lower()}, decided"
      )
  columns = (
    "train_loss",
    "train_accuracy",
    "valid_loss",
    "valid_accuracy",
    "weights_lr",
    "images_per_s",
  )
  if log.epochs:
    content += markup.disclosure(
      "Numbers by epoch of tuning", curves.by_epoch(log, columns)
    )
  return content


def _lead(run: folder.Run, made: Sequence[Decision], is_node: bool) -> str:
  """What the numbers of a table are, in words."""
  candidate = "edge from this source" if is_node else "operation"
  marked = "kept" if is_node else "chosen"
  text = "In the order of the decisions."
  if any(decision.scores for decision in made):
    metric, worse = "accuracy in percent", "lower"
    if _criterion(run) == "loss":
      metric, worse = "loss", "higher"
    text += (
      f" A number is the supernet's {metric} on valid without the {candidate},"
      f" all else as it was: the {worse}, the more it is missed. Outlined:"
      f" {marked}."
    )
  other = [d for d in made if d.scores and d.chosen and d.largest]
  differ = sum(decision.chosen != (decision.largest,) for decision in other)
  if other:
    text += (
      f" {differ} of {len(other)} choices are not the operation of the largest"
      " mixing weight."
    )
  return text


def _scores(run: folder.Run, numbered: Sequence[tuple[int, Decision]]) -> str:
  """A row for each decision, a column for each candidate."""
  made = [decision for _, decision in numbered]
  is_node = made[0].is_node
  names = list(dict.fromkeys(n for d in made for n in d.scores))
  if is_node:
    names.sort(key=lambda name: (len(name), name))
  spread = max(
    (abs(_missed(run, d, n)) for d in made for n in d.scores), default=0.0
  )
  upright = ' class="upright"' * is_node
  heads = "".join(
    f'<th scope="col" title="{markup.text(name)}">'
    f"<span{upright}>{markup.text(theme.short_name(name))}</span></th>"
    for name in names
  )
  rows = ""
  for number, decision in numbered:
    fields = ""
    for name in names:
      fields += _field(run, decision, name, spread)
    chosen = ", ".join(decision.chosen) or "being tried"
    rows += (
      f'<tr><th scope="row">{number}. {markup.text(decision.cell_type)}'
      f" {markup.text(decision.place)}</th>"
      f'<td class="word">{markup.text(chosen)}</td>{fields}'
      f'<td class="word">{_moved(decision)}</td></tr>'
    )
  first = "Kept" if is_node else "Chosen"
  return (
    '<table class="heat decisions"><thead><tr><th scope="col">Decision</th>'
    f'<th scope="col">{first}</th>{heads}<th scope="col">Supernet after'
    f" tuning</th></tr></thead><tbody>{rows}</tbody></table>"
  )


def _field(
  run: folder.Run, decision: Decision, name: str, spread: float
) -> str:
  score = decision.scores.get(name, math.nan)
  if not math.isfinite(score):
    return '<td class="absent"></td>'
  chosen = ' class="chosen"' * (name in decision.chosen)
  share = _missed(run, decision, name) / spread if spread else 0.0
  words = f"{100 * score:.2f}" if _criterion(run) == "acc" else f"{score:.3f}"
  return f'<td{chosen} style="--w:{100 * share:.0f}%">{words}</td>'


def _missed(run: folder.Run, decision: Decision, name: str) -> float:
  """How much worse it is without this candidate than without the least."""
  known = [s for s in decision.scores.values() if math.isfinite(s)]
  score = decision.scores[name]
  if not math.isfinite(score):
    return 0.0
  if _criterion(run) == "loss":
    return score - min(known)
  return max(known) - score


def _moved(decision: Decision) -> str:
  """The supernet's accuracy after the tuning, and by how much it moved."""
  moved = tables.points(decision.after - decision.before)
  if moved == tables.UNKNOWN:
    return tables.percent(decision.after)
  return f"{tables.percent(decision.after)} ({moved.removesuffix(' points')})"


def _samples(run: folder.Run, log: folder.Log) -> str:
  """The best of the random cells that were compared."""
  metric, sign = ("loss", 1) if _criterion(run) == "loss" else ("accuracy", -1)
  tried = [event for event in log.events if "sample" in event]
  ranked = sorted(tried, key=lambda trial: sign * folder.number(trial, metric))
  if not ranked:
    return ""
  rows = tuple(
    tables.Row(
      f"Cell {trial['sample']}",
      "",
      (
        tables.percent(folder.number(trial, "accuracy")),
        tables.decimal(folder.number(trial, "loss")),
      ),
    )
    for trial in ranked[:_MOST_SAMPLES]
  )
  return (
    f'<p class="lead">The best of {len(tried):,} random cells, by what the'
    " supernet gives on valid with their operations alone.</p>"
    + markup.numbers(
      tables.Table(("accuracy", "loss"), rows), "best cells", lead=True
    )
  )


def _table(run: folder.Run, log: folder.Log) -> tables.Table:
  """What the selection found and cost."""
  child = folder.number(log.summary, "child_accuracy")
  before = math.nan
  if run.search is not None:
    before = folder.number(run.search.summary, "child_accuracy")
  trials = sum(event["kind"] == "trial" for event in log.events)
  made = sum(event["kind"] == "decision" for event in log.events)
  valid = tables.split_note(log, "valid")
  rows = [
    tables.Row(
      "Child's accuracy", f"{valid}; the supernet's weights", _percent(child)
    ),
    tables.Row(
      "The search's child", f"{valid}; before the selection", _percent(before)
    ),
    tables.Row("Selection", "", (str(run.setting("selection", "name")),)),
    tables.Row("Trials", "", (f"{trials:,}",)),
    tables.Row("Decisions", "", (f"{made:,}",)),
    tables.Row("Epochs of tuning", "", (f"{len(log.epochs):,}",)),
    tables.Row(
      "Wall time",
      "",
      (tables.duration(tables.seconds(log)),),
    ),
    tables.Row(
      "Peak memory, compiled",
      "of a step or a call of trials",
      (tables.size(folder.number(log.summary, "peak_bytes")),),
    ),
    tables.Row(
      "Peak memory, process",
      "resident",
      (tables.size(folder.number(log.summary, "rss_bytes")),),
    ),
  ]
  known = [row for row in rows if row.values != (tables.UNKNOWN,)]
  return tables.Table(("selection",), tuple(known))


def _percent(value: float) -> tuple[str]:
  return (tables.percent(value),)


def _criterion(run: folder.Run) -> str:
  return str(run.setting("selection", "criterion") or "acc")


def _start(run: folder.Run) -> float:
  """The supernet's accuracy on valid at the end of the search."""
  if run.search is None:
    return math.nan
  told = folder.number(run.search.summary, "valid_accuracy")
  values = [v for v in run.search.values("valid_accuracy") if math.isfinite(v)]
  return told if math.isfinite(told) or not values else values[-1]
