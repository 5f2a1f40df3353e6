"""A run as a member of a comparison: its numbers, and what it trained."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from jnas import genotype as genotypes
from jnas.report import folder, stats

_HOUR = 3600.0


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
  def cells(self) -> str:
    """Equal for runs of one genotype; without one, the run's own."""
    if self.run.genotype is None:
      return str(self.path.resolve())
    whole = genotypes.to_dict(self.run.genotype)
    # The space is a note.
    return json.dumps({k: v for k, v in whole.items() if k != "space"})

  @property
  def random(self) -> float:
    """Mean accuracy of the run's own random networks; NaN without one."""
    return stats.summarize(self.baselines.values()).mean


def read(path: pathlib.Path) -> Member:
  """Reads a run folder.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: the folder holds no run, or one without its config.
  """
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


def finite(value: float | None) -> float | None:
  """The value as JSON can hold it: None for NaN."""
  return value if value is not None and math.isfinite(value) else None


def _hours(summary: Mapping[str, Any]) -> float:
  """Device-hours; runs that do not tell their devices had one."""
  devices = folder.number(summary, "devices")
  seconds = folder.number(summary, "seconds")
  return seconds * (devices if math.isfinite(devices) else 1) / _HOUR
