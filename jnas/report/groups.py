"""Runs side by side: those that differ in the seed alone are one group."""

import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from jnas import genotype as genotypes
from jnas.report import folder, inference, published, stats, tables

_HOUR = 3600.0
# Fields in which runs of one group may differ: the seed, and what changes
# nothing that is computed.
_FREE = {"seed", "search.checkpoint_seconds", "evaluate.checkpoint_seconds"}
_FREE |= {"selection.checkpoint_seconds"}


@dataclasses.dataclass(frozen=True)
class Member:
  """A run of a group.

  Attributes:
    run: the run.
    path: its folder.
    seed: of the run.
    accuracy: of the searched network, retrained, in the last epoch on the test
      split; NaN unless its training has ended.
    baselines: likewise of the random networks that have ended.
    images: in the test split; NaN if unknown.
    params: of the searched network.
    madds: multiply-adds of an image.
    supernet: accuracy of the supernet on the validation split.
    child: accuracy of the derived child with its weights, likewise.
    search_hours: device-hours of search and selection.
    train_hours: device-hours of the searched network's training.
  """

  run: folder.Run
  path: pathlib.Path
  seed: int
  accuracy: float
  baselines: Mapping[str, float]
  images: float
  params: float
  madds: float
  supernet: float
  child: float
  search_hours: float
  train_hours: float

  @property
  def advantage(self) -> float:
    """Accuracy above the mean of the run's own baselines, of one seed."""
    mean = stats.summarize(self.baselines.values()).mean
    return self.accuracy - mean


@dataclasses.dataclass(frozen=True)
class Group:
  """Runs of one config but for the seed.

  Attributes:
    label: tells it from the other groups.
    method: as `published.method_of` names it.
    data: the data source.
    setting: what two groups share if their retrained accuracies compare.
    members: by seed.
  """

  label: str
  method: str
  data: str
  setting: str
  members: tuple[Member, ...]

  def summary(self, name: str) -> stats.Summary:
    """Of a numeric attribute of the members."""
    return stats.summarize(getattr(member, name) for member in self.members)

  @property
  def components(self) -> inference.Components:
    """Spread of searches and retrainings: runs of one cell are retrainings."""
    return inference.components(self._by_cell("accuracy"))

  @property
  def against_random(self) -> inference.Paired:
    """The cells found against the baselines of the same seeds.

    A cell that was trained several times counts once, with its mean: its
    trainings say nothing of another search.
    """
    return inference.paired(
      [statistics.fmean(values) for values in self._by_cell("advantage")]
    )

  def _by_cell(self, name: str) -> list[list[float]]:
    """An attribute of the members, those of one genotype together."""
    found: dict[str, list[float]] = {}
    for member in self.members:
      genotype, value = member.run.genotype, getattr(member, name)
      if genotype is not None and math.isfinite(value):
        found.setdefault(json.dumps(_cells(genotype)), []).append(value)
    return list(found.values())


@dataclasses.dataclass(frozen=True)
class Baseline:
  """Random networks trained alike.

  Attributes:
    label: tells it from others.
    setting: as of the groups that it belongs to.
    data: the data source.
    accuracies: of each seed's networks, each counted once.
    params: of the same networks.
    madds: of the same networks.
    images: in the test split; NaN if unknown.
    seeds: of the runs that trained them.
  """

  label: str
  setting: str
  data: str
  images: float
  seeds: tuple[int, ...]
  accuracies: tuple[float, ...]
  params: tuple[float, ...]
  madds: tuple[float, ...]


def read(paths: Sequence[pathlib.Path]) -> list[Group]:
  """The groups of run folders, in the order of their first run.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: a folder holds no run, or is given twice.
  """
  resolved = [path.resolve() for path in paths]
  for path, place in zip(paths, resolved, strict=True):
    if resolved.count(place) > 1:
      raise ValueError(f"{path} is given twice; give every run once")
  by_config: dict[str, list[Member]] = {}
  for path in paths:
    member = _member(path)
    key = json.dumps(_fixed(member.run), sort_keys=True, default=str)
    by_config.setdefault(key, []).append(member)
  found = list(by_config.values())
  labels = _labels([members[0].run for members in found])
  return [
    Group(
      label=label,
      method=published.method_of(members[0].run),
      data=str(members[0].run.setting("data", "source")),
      setting=_setting(members[0].run),
      members=tuple(sorted(members, key=lambda m: m.seed)),
    )
    for label, members in zip(labels, found, strict=True)
  ]


def baselines(groups: Sequence[Group]) -> list[Baseline]:
  """The random networks of each setting.

  Runs of several methods with one seed train the same random networks.
  """
  found: dict[str, dict[tuple[int, str], folder.Network]] = {}
  for group in groups:
    for member in group.members:
      for network in member.run.baselines:
        if network.log.summary:
          by_seed = found.setdefault(group.setting, {})
          by_seed.setdefault((member.seed, network.name), network)
  result = []
  for setting, networks in found.items():
    members = [g.label for g in groups if g.setting == setting]
    summaries = [network.log.summary for network in networks.values()]
    result.append(
      Baseline(
        label="random cells"
        + (f", as {', '.join(members)}" if len(found) > 1 else ""),
        setting=setting,
        data=next(g.data for g in groups if g.setting == setting),
        images=folder.number(
          next(iter(networks.values())).log.header, "split_sizes", "test"
        ),
        seeds=tuple(sorted({seed for seed, _ in networks})),
        accuracies=tuple(
          tables.final_accuracy(network.log) for network in networks.values()
        ),
        params=tuple(folder.number(s, "params") for s in summaries),
        madds=tuple(folder.number(s, "madds") for s in summaries),
      )
    )
  return result


def orders(groups: Sequence[Group]) -> dict[str, tuple[float, int]]:
  """Kendall's tau between the accuracies of supernet, child and retrained.

  Over all runs that were retrained alike; of several settings, the one with
  the most runs.

  Returns:
    By the pair's name, tau and the number of runs; NaN for fewer than 3.
  """
  by_setting: dict[str, list[Member]] = {}
  for group in groups:
    by_setting.setdefault(group.setting, []).extend(group.members)
  members = max(by_setting.values(), key=len)
  found = {}
  for first, second in (
    ("supernet", "accuracy"),
    ("child", "accuracy"),
    ("supernet", "child"),
  ):
    pairs = [(getattr(m, first), getattr(m, second)) for m in members]
    pairs = [pair for pair in pairs if all(map(math.isfinite, pair))]
    tau = inference.kendall([a for a, _ in pairs], [b for _, b in pairs])
    found[f"{first} and {second}".replace("accuracy", "retrained")] = (
      tau,
      len(pairs),
    )
  return found


def _member(path: pathlib.Path) -> Member:
  run = folder.read(path)
  if not run.config:
    raise ValueError(
      f"{path / 'config.json'} is missing or cannot be read; without it no "
      "run can be compared"
    )
  searched = run.searched
  summary = searched.log.summary if searched else {}
  search = run.search.summary if run.search else {}
  selection = folder.read_log(path / "selection" / "metrics.jsonl")
  hours = _hours(search)
  if selection is not None:
    hours += _hours(selection.summary)
  seed = run.setting("seed")
  return Member(
    run=run,
    path=path,
    seed=seed if isinstance(seed, int) else 0,
    accuracy=folder.number(summary, "test_accuracy"),
    baselines={
      network.name: folder.number(network.log.summary, "test_accuracy")
      for network in run.baselines
      if network.log.summary
    },
    images=folder.number(
      searched.log.header if searched else {}, "split_sizes", "test"
    ),
    params=folder.number(summary, "params"),
    madds=folder.number(summary, "madds"),
    supernet=folder.number(search, "valid_accuracy"),
    child=folder.number(search, "child_accuracy"),
    search_hours=hours,
    train_hours=_hours(summary),
  )


def _hours(summary: Mapping[str, Any]) -> float:
  """Device-hours; runs that do not tell their devices had one."""
  devices = folder.number(summary, "devices")
  seconds = folder.number(summary, "seconds")
  return seconds * (devices if math.isfinite(devices) else 1) / _HOUR


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


def _setting(run: folder.Run) -> str:
  """What decides how a network of given cells is trained and measured."""
  flat = _fixed(run)
  parts = ("space", "data.", "evaluate.")
  kept = {k: v for k, v in flat.items() if k.startswith(parts)}
  return json.dumps(kept, sort_keys=True, default=str)


def _labels(runs: Sequence[folder.Run]) -> list[str]:
  """The configs' names; where those are equal, with what differs."""
  names = [str(run.setting("name") or run.name) for run in runs]
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


def _cells(genotype: genotypes.Genotype) -> Any:
  """What tells two genotypes apart; the space is a note."""
  return {k: v for k, v in genotypes.to_dict(genotype).items() if k != "space"}
