"""Whether the accuracies of a search order runs as retraining does."""

import math
from collections.abc import Sequence

from jnas.report import inference
from jnas.report.groups import Group

# What is compared, by name.
PAIRS = ("supernet and retrained", "child and retrained", "supernet and child")


def pooled(groups: Sequence[Group]) -> dict[str, inference.Order]:
  """Over all runs that were retrained alike.

  Of several settings, the one with the most runs. Methods differ in the
  accuracy of their supernets, so `within` may say something else.

  Returns:
    By the pair's name.
  """
  by_setting: dict[str, list[Group]] = {}
  for group in groups:
    by_setting.setdefault(group.setting, []).append(group)
  return _orders(
    max(by_setting.values(), key=lambda gs: sum(len(g.members) for g in gs))
  )


def within(group: Group) -> dict[str, inference.Order]:
  """Over the searches of one group, by the pair's name."""
  return _orders([group])


def _orders(groups: Sequence[Group]) -> dict[str, inference.Order]:
  """A search's retrained accuracy is the mean over its cell's trainings."""
  runs = [
    {
      "supernet": member.supernet,
      "child": member.child,
      "retrained": cell.accuracy,
    }
    for group in groups
    for cell in group.cells
    for member in cell.members
    if not member.run.is_given
  ]
  found = {}
  for name in PAIRS:
    first, _, second = name.partition(" and ")
    pairs = [(run[first], run[second]) for run in runs]
    pairs = [pair for pair in pairs if all(map(math.isfinite, pair))]
    found[name] = inference.kendall(
      [a for a, _ in pairs], [b for _, b in pairs]
    )
  return found
