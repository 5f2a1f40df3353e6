"""What a comparison found, in words, and what to beware of."""

import collections
import math
from collections.abc import Sequence

from jnas.report import inference, tables
from jnas.report.groups import Group

# Cells below which a mean tells little of a method.
_FEW = 3


def title(groups: Sequence[Group]) -> str:
  """The page's title: what is compared."""
  names = list(dict.fromkeys(group.label for group in groups))
  shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
  return f"{shown} · jnas comparison"


def headline(groups: Sequence[Group]) -> str:
  """The group of the highest mean, and whether that says anything.

  Of groups that were not all retrained alike, it is of the most that were.
  """
  known = [group for group in groups if group.trained]
  known = [group for group in known if not group.is_given] or known
  if not known:
    return "No network has been retrained yet."
  most = collections.Counter(
    setting for group in known for setting in [group.setting] * len(group.cells)
  ).most_common(1)[0][0]
  alike = [group for group in known if group.setting == most]
  best = max(alike, key=lambda group: group.summary("accuracy").mean)
  summary = best.summary("accuracy")
  told = tables.percent(summary.mean)
  if summary.count > 1:
    told += f" {tables.spread(summary.deviation)}"
  parts = [f"{best.label}: {told} test accuracy over {counted(best)}"]
  others = [group for group in alike if group is not best]
  if others:
    parts.append(_highest(best, others, len(alike) < len(known)))
  random = best.against_random
  if random.count:
    side = "above" if random.difference >= 0 else "below"
    parts.append(
      f"{abs(100 * random.difference):.2f} points {side} random cells of the"
      " same seeds" + _apart(random.p)
    )
  text = ", ".join(parts)
  if summary.count < _FEW:
    text += (
      f"; {summary.count} cell{'s' * (summary.count > 1)} tell"
      f"{'s' * (summary.count == 1)} little"
    )
  return f"{text}."


def counted(group: Group) -> str:
  """Cells, and trainings where they are more."""
  cells, trainings = (
    len(group.trained),
    sum(len(cell.accuracies) for cell in group.trained),
  )
  return ", ".join(count_words(cells, trainings))


def count_words(cells: int, trainings: int) -> list[str]:
  """Such as "3 cells", and "5 trainings" where a cell had more than one."""
  words = [f"{cells} cell{'s' * (cells != 1)}"]
  return words + [f"{trainings} trainings"] * (trainings != cells)


def warnings(groups: Sequence[Group]) -> list[str]:
  """What a reader should beware of."""
  found = []
  if len({group.setting for group in groups}) > 1:
    found.append(
      "Not all groups were retrained alike: space, data or the training of the"
      " derived network differ. Compare only those where they do not."
    )
  for group in groups:
    missing = [m.seed for m in group.members if not math.isfinite(m.accuracy)]
    if missing:
      seeds = ", ".join(map(str, missing))
      found.append(f"{group.label}: retraining has not ended for seed {seeds}.")
    if len(group.trained) == 1 and not group.is_given:
      found.append(
        f"{group.label}: one cell, so nothing says how much a search moves it."
      )
    if not group.against_random.count:
      found.append(f"{group.label}: no random cell was trained alike.")
  for group in groups:
    for member in group.members:
      found += [f"{member.run.name}: {fault}." for fault in member.run.faults]
  return found


def _highest(best: Group, others: Sequence[Group], is_part: bool) -> str:
  """Whether the highest mean is apart from the next one."""
  second = max(others, key=lambda group: group.summary("accuracy").mean)
  p = inference.welch(
    [cell.accuracy for cell in best.trained],
    [cell.accuracy for cell in second.trained],
  )
  words = "the highest mean" + " of those retrained alike" * is_part
  if inference.noise(p):
    return f"{words}, but {inference.noise(p)} of {second.label}"
  if math.isfinite(p):
    return f"{words} (p = {p:.2g} against {second.label})"
  return words


def _apart(p: float) -> str:
  words = inference.noise(p)
  return f", {words}" if words else ""
