"""What a run found, in words, and what to beware of."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from jnas.genotype import Cell
from jnas.report import folder, inference, stats, tables


class Tile(NamedTuple):
  """A number to be seen first.

  Attributes:
    label: what it is.
    value: the number.
    note: what to know about it.
  """

  label: str
  value: str
  note: str


def status(run: folder.Run) -> str:
  """How far the run has come."""
  if run.search is None and run.segment is not None:
    if run.segment.summary:
      return "complete"
    done = tables.progress(run.segment, run, "segment")
    return f"segmentation: epoch {done}"
  if not run.is_given:
    under_way = _search_status(run)
    if under_way:
      return under_way
  elif run.searched is None or not run.searched.log.epochs:
    return "cell given, training not begun"
  for network in run.networks:
    if not network.log.summary:
      done = tables.progress(network.log, run, "evaluate")
      stage = "training" if run.is_given else "retraining"
      return f"{stage} ({network.name}): epoch {done}"
  return "complete"


def headline(run: folder.Run) -> str:
  """The finding, in a sentence."""
  if run.segment is not None and run.segment.epochs:
    return _segment_headline(run.segment, run)
  searched = run.searched
  accuracy = tables.final_accuracy(searched.log) if searched else math.nan
  if searched is None or not math.isfinite(accuracy):
    return _search_headline(run)
  reached = tables.percent(accuracy)
  cell = "cell given" if run.is_given else "cell found"
  if not searched.log.summary:
    done = tables.progress(searched.log, run, "evaluate")
    return f"The {cell} is at {reached} test accuracy after epoch {done}."
  text = f"The {cell} reaches {reached} test accuracy"
  random = baseline(run)
  if not random.count:
    return f"{text}."
  difference = accuracy - random.mean
  side = "above" if difference >= 0 else "below"
  gap = f"{abs(100 * difference):.2f} points {side}"
  text += f", {gap} "
  if random.count == 1:
    text += "a random one trained alike"
  else:
    text += f"the mean of {random.count} random ones trained alike"
  noise = inference.noise(_probability(run))
  if noise:
    return f"{text}, {noise}."
  return f"{text}; one cell against {random.count} tells little of others."


def baseline(run: folder.Run) -> stats.Summary:
  """Test accuracies of the random genotypes whose training has ended."""
  return stats.summarize(
    tables.final_accuracy(network.log)
    for network in run.baselines
    if network.log.summary
  )


def _probability(run: folder.Run) -> float:
  """Of such a difference from the random cells by the test images alone.

  Two-sided, of a normal distribution whose variance is the sum of that of the
  accuracy and that of the random ones' mean. All saw the same images, so the
  true one is smaller; NaN where their number is unknown.
  """
  searched = run.searched
  random = [n for n in run.baselines if n.log.summary]
  logs = [searched.log if searched else None, *(n.log for n in random)]
  accuracies = [tables.final_accuracy(log) if log else math.nan for log in logs]
  own, *others = (
    stats.accuracy_error(
      accuracy, folder.number(log.header if log else {}, "split_sizes", "test")
    )
    for accuracy, log in zip(accuracies, logs, strict=True)
  )
  error = math.hypot(own, *(other / len(others) for other in others))
  difference = accuracies[0] - baseline(run).mean
  if not error > 0:
    return math.nan
  return math.erfc(abs(difference) / error / math.sqrt(2))


def tiles(run: folder.Run) -> list[Tile]:
  """The numbers to be seen first, those that are known."""
  found = []
  searched = run.searched
  if searched and searched.log.epochs:
    log = searched.log
    accuracy = tables.final_accuracy(log)
    images = folder.number(log.header, "split_sizes", "test")
    error = stats.accuracy_error(accuracy, images)
    note = tables.split_note(log, "test")
    if math.isfinite(error):
      note = f"± {100 * error:.2f} ({note})"
    found.append(Tile("Test accuracy", tables.percent(accuracy), note))
  random = baseline(run)
  if random.count:
    note = "one random cell, trained alike"
    if random.count > 1:
      note = (
        f"mean of {random.count} random cells, deviation"
        f" {100 * random.deviation:.2f}, best {tables.percent(random.best)}"
      )
    found.append(Tile("Random", tables.percent(random.mean), note))
  if searched and searched.log.summary:
    summary = searched.log.summary
    madds = tables.short_count(folder.number(summary, "madds"))
    params = tables.short_count(folder.number(summary, "params"))
    found.append(Tile("Parameters", params, f"{madds} multiply-adds"))
  if run.segment and run.segment.epochs:
    log = run.segment
    note = tables.split_note(log, "test")
    for label, name in (
      ("Test mIoU", "test_miou"),
      ("Pixels right", "test_pixel_accuracy"),
    ):
      value = tables.percent(tables.last_value(log, name))
      found.append(Tile(label, value, note))
    head = tables.short_count(folder.number(log.summary, "head_params"))
    params = tables.short_count(folder.number(log.summary, "params"))
    found.append(Tile("Parameters", params, f"{head} in the head"))
  if run.search and run.search.epochs:
    spent = tables.duration(tables.seconds(run.search))
    done = tables.progress(run.search, run, "search")
    found.append(Tile("Search", spent, f"epochs: {done}"))
  if run.selection is not None:
    spent = tables.duration(tables.seconds(run.selection))
    found.append(Tile("Selection", spent, _decided(run.selection)))
  return [tile for tile in found if tile.value != tables.UNKNOWN]


def warnings(run: folder.Run) -> list[str]:
  """What a reader should beware of."""
  found = []
  for cell_type, cell in (run.genotype.cells() if run.genotype else {}).items():
    if not cell.has_parameters():
      found.append(
        f"The {cell_type} cell has no operation with weights: it has"
        f" {_list_ops(cell)}."
        if run.is_given
        else f"The {cell_type} cell has lost every operation with weights:"
        f" {_list_ops(cell)} remain. A search that collapses ends like this."
      )
    if not cell.is_connected():
      found.append(f"The output of the {cell_type} cell depends on no input.")
  for network in run.networks:
    if network.log.summary.get("inherited") is True:
      found.append(
        f"The {network.name} network started from the supernet's weights."
      )
  logs = [("search", run.search)] if run.search else []
  logs += [("selection", run.selection)] if run.selection else []
  logs += [(f"retraining ({n.name})", n.log) for n in run.networks]
  for stage, log in logs:
    broken = _not_finite(log)
    if broken:
      found.append(f"In the {stage} not finite: {', '.join(broken)}.")
  ended = [n for n in run.networks if n.log.summary]
  if ended and not any(network.is_baseline for network in ended):
    none = "No random cell has been trained alike yet"
    if run.setting("evaluate", "random_baselines") == 0:
      none = "No random cell was to be trained alike"
    what = "cell is" if run.is_given else "search was"
    found.append(
      f"{none}: the accuracy alone does not say what the {what} worth."
    )
  return found + [fault[:1].upper() + fault[1:] + "." for fault in run.faults]


def _search_status(run: folder.Run) -> str:
  """How far search and selection have come; empty if retraining has begun."""
  if run.search is None or not run.search.epochs:
    return "the search has not ended its first epoch"
  if not run.search.summary:
    return f"search: epoch {tables.progress(run.search, run, 'search')}"
  if run.selection is not None and not run.selection.summary:
    return f"selection: {_decided(run.selection)}"
  selector = run.setting("selection", "name")
  if not run.is_final and selector not in (None, "none"):
    return "search ended, selection not begun"
  if run.searched is None or not run.searched.log.epochs:
    ended = "selection" if run.selection is not None else "search"
    return f"{ended} ended, retraining not begun"
  return ""


def _segment_headline(log: folder.Log, run: folder.Run) -> str:
  reached = tables.percent(tables.last_value(log, "test_miou"))
  if log.summary:
    return f"The cell segments test images with a mIoU of {reached}."
  done = tables.progress(log, run, "segment")
  return f"The cell is at a mIoU of {reached} after epoch {done}."


def _search_headline(run: folder.Run) -> str:
  log = run.search
  if run.is_given:
    return "The cell was given; its training has not ended its first epoch."
  if log is None or not log.epochs:
    return "The search has not ended its first epoch."
  if run.selection is not None:
    return _selection_headline(run.selection)
  done = tables.progress(log, run, "search")
  child = _latest(log.values("child_accuracy"))
  where = "has found a cell" if log.summary else f"is at epoch {done}"
  if not math.isfinite(child):
    return f"The search {where}."
  return (
    f"The search {where}; with the supernet's weights its cell gives"
    f" {tables.percent(child)} on the valid split."
  )


def _selection_headline(log: folder.Log) -> str:
  if not log.summary:
    return f"The selection is under way: {_decided(log)}."
  child = folder.number(log.summary, "child_accuracy")
  return (
    "The selection has found a cell; with the supernet's weights it gives"
    f" {tables.percent(child)} on the valid split."
  )


def _decided(log: folder.Log) -> str:
  """How far a selection has come: decisions, or trials where none are made."""
  made = sum(event["kind"] == "decision" for event in log.events)
  what = "decision"
  if not made:
    made, what = len(log.events), "trial"
  return f"{made:,} {what}{'s' * (made != 1)}"


def _latest(values: Sequence[float]) -> float:
  return next((v for v in reversed(values) if math.isfinite(v)), math.nan)


def _list_ops(cell: Cell) -> str:
  counts = sorted(cell.op_counts().items(), key=lambda item: -item[1])
  return ", ".join(f"{number} × {op}" for op, number in counts) or "no ones"


def _not_finite(log: folder.Log) -> list[str]:
  """Metrics that were not finite, and since which epoch.

  They are written as null, for JSON has no NaN; NaN is understood too. What
  was not measured in an epoch is not there at all.
  """
  first: dict[str, int] = {}
  for number, epoch in zip(log.counted(), log.epochs, strict=True):
    for name, value in epoch.items():
      if any(not math.isfinite(leaf) for leaf in _numbers(value)):
        first.setdefault(name, number)
  return [f"{name} (epoch {epoch})" for name, epoch in first.items()]


def _numbers(value: object) -> Iterator[float]:
  """The numbers in a metric, whose null stands for NaN."""
  if value is None:
    yield math.nan
  elif isinstance(value, float):
    yield value
  elif isinstance(value, Mapping) and "format" not in value:
    for inner in value.values():
      yield from _numbers(inner)
  elif isinstance(value, list):
    for inner in value:
      yield from _numbers(inner)
