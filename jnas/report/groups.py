"""Runs side by side: those that differ in the seed alone are one group.

A run that was given its genotype has searched nothing: it joins the group that
found the cell, as another training of it, or one of given cells.
"""

import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jnas.report import folder, inference, members, published, stats
from jnas.report.members import Member

# Fields in which runs of one group may differ: the seed, what changes nothing
# that is computed, and how many random cells are trained beside the own one.
_FREE = {"seed", "search.checkpoint_seconds", "evaluate.checkpoint_seconds"}
_FREE |= {"selection.checkpoint_seconds", "evaluate.random_baselines"}


class Trained(NamedTuple):
  """What a search found, with the runs that trained it.

  Attributes:
    members: the runs.
  """

  members: tuple[Member, ...]

  @property
  def accuracies(self) -> list[float]:
    """Of the trainings that have ended."""
    return [m.accuracy for m in self.members if math.isfinite(m.accuracy)]

  @property
  def accuracy(self) -> float:
    """Mean of the trainings; NaN before the first has ended."""
    return _mean(self.accuracies)

  @property
  def advantage(self) -> float:
    """Accuracy above the random cells of the seeds that found the cell.

    Where no such run has random cells, above those of the other trainings.
    """
    found = [m.random for m in self.members if not m.run.is_given]
    others = [m.random for m in self.members if m.run.is_given]
    random = next(
      (mean for mean in (_mean(found), _mean(others)) if math.isfinite(mean)),
      math.nan,
    )
    return self.accuracy - random


@dataclasses.dataclass(frozen=True)
class Group:
  """Runs of one config but for the seed, and retrainings of their cells.

  Attributes:
    label: tells it from the other groups.
    method: as `published.method_of` names it.
    data: the data source.
    setting: what two groups share if their retrained accuracies compare.
    members: by seed, those that searched first.
  """

  label: str
  method: str
  data: str
  setting: str
  members: tuple[Member, ...]

  @property
  def is_given(self) -> bool:
    """Whether none of its runs has searched."""
    return all(member.run.is_given for member in self.members)

  @property
  def cells(self) -> list[Trained]:
    """What each search found, in order, with the trainings of it.

    Two searches that find the same genotype count twice; who trained it once
    more, given it, stands with the first of them.
    """
    found: dict[str, list[list[Member]]] = {}
    for member in self.members:
      same = found.setdefault(member.cells, [])
      if same and member.run.is_given:
        same[0].append(member)
      else:
        same.append([member])
    return [Trained(tuple(runs)) for same in found.values() for runs in same]

  @property
  def trained(self) -> list[Trained]:
    """Those of the genotypes that have been trained to the end."""
    return [cell for cell in self.cells if cell.accuracies]

  @property
  def best(self) -> Member | None:
    """The run of the largest single accuracy."""
    known = [m for m in self.members if math.isfinite(m.accuracy)]
    return max(known, key=lambda m: m.accuracy, default=None)

  def summary(self, name: str) -> stats.Summary:
    """Of a numeric attribute, each search with the mean of its cell's runs.

    But for costs, which are of a run: those of each count.
    """
    if name.endswith("_hours"):
      return stats.summarize(getattr(member, name) for member in self.members)
    return stats.summarize(
      _mean([getattr(member, name) for member in cell.members])
      for cell in self.cells
    )

  @property
  def components(self) -> inference.Components:
    """Spread of searches and retrainings: runs of one cell are retrainings.

    Of one cell that two searches found, too.
    """
    trainings: dict[str, list[float]] = {}
    for cell in self.trained:
      same = trainings.setdefault(cell.members[0].cells, [])
      same.extend(cell.accuracies)
    return inference.components(list(trainings.values()))

  @property
  def against_random(self) -> inference.Paired:
    """What the searches found against random cells, a search counting once.

    Its trainings say nothing of another search.
    """
    differences = [cell.advantage for cell in self.trained]
    return inference.paired([d for d in differences if math.isfinite(d)])


def read(paths: Sequence[pathlib.Path]) -> list[Group]:
  """The groups of run folders, in the order of their first run.

  Groups of given cells come last.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: a folder holds no run, or is given twice.
  """
  resolved = [path.resolve() for path in paths]
  for path, place in zip(paths, resolved, strict=True):
    if resolved.count(place) > 1:
      raise ValueError(f"{path} is given twice; give every run once")
  runs = [members.read(path) for path in paths]
  found: dict[str, list[Member]] = {}
  for member in runs:
    if not member.run.is_given:
      found.setdefault(_key(member.run), []).append(member)
  searched = list(found.values())
  given: dict[str, list[Member]] = {}
  for member in runs:
    if member.run.is_given:
      finders = _finders(member, searched)
      (finders or given.setdefault(_key(member.run), [])).append(member)
  gathered = [*searched, *given.values()]
  labels = _labels([group[0].run for group in gathered])
  return [
    Group(
      label=label,
      method=published.method_of(group[0].run),
      data=str(group[0].run.setting("data", "source")),
      setting=_setting(group[0].run),
      members=tuple(sorted(group, key=lambda m: (m.run.is_given, m.seed))),
    )
    for label, group in zip(labels, gathered, strict=True)
  ]


def _finders(
  given: Member, searched: Sequence[list[Member]]
) -> list[Member] | None:
  """The group whose search found a given cell, and trained it alike.

  Of several, that of the run which the genotype's file names.
  """
  found = [
    group
    for group in searched
    if _setting(group[0].run) == _setting(given.run)
    and any(m.cells == given.cells and m.run.is_final for m in group)
  ]
  source = given.run.provenance.get("found")
  named = source.get("config_hash") if isinstance(source, Mapping) else None
  return next(
    (g for g in found if named in [m.run.config_hash for m in g]),
    found[0] if found else None,
  )


def _mean(values: Sequence[float]) -> float:
  """Of the finite ones; NaN if there is none."""
  known = [value for value in values if math.isfinite(value)]
  return statistics.fmean(known) if known else math.nan


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
  if not isinstance(value, Mapping):
    return {prefix.removesuffix("."): value}
  return {
    name: leaf
    for key, inner in value.items()
    for name, leaf in _flatten(inner, f"{prefix}{key}.").items()
  }


def _fixed(run: folder.Run) -> dict[str, Any]:
  """The settings that make the run's group."""
  flat = _flatten(run.config)
  return {name: value for name, value in flat.items() if name not in _FREE}


def _key(run: folder.Run) -> str:
  return json.dumps(_fixed(run), sort_keys=True, default=str)


def _setting(run: folder.Run) -> str:
  """What decides how a network of given cells is trained and measured."""
  flat = _fixed(run)
  parts = ("space", "data.", "evaluate.")
  kept = {k: v for k, v in flat.items() if k.startswith(parts)}
  return json.dumps(kept, sort_keys=True, default=str)


def _labels(runs: Sequence[folder.Run]) -> list[str]:
  """The configs' names and methods; where those are equal, what differs."""
  names = [_name(run) for run in runs]
  fixed = [_fixed(run) for run in runs]
  labels = []
  for name, fields in zip(names, fixed, strict=True):
    alike = [f for n, f in zip(names, fixed, strict=True) if n == name]
    differing = [
      f"{key} {fields.get(key)}"
      for key in sorted({key for other in alike for key in other})
      if len({json.dumps(other.get(key)) for other in alike}) > 1
    ]
    labels.append(", ".join([name, *differing[:3]]))
  return labels


def _name(run: folder.Run) -> str:
  """The config's name, and the method's where that does not tell it."""
  name = str(run.setting("name") or run.name)
  method = published.method_of(run)
  if run.is_given:
    return f"given cells, {name}"
  return name if method in name else f"{name} ({method})"
