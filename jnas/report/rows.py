"""The rows of a comparison: groups, random cells, published numbers.

One record for all three, so that table, JSON and words agree.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from jnas.report import groups as groups_lib
from jnas.report import inference, published, random_cells, stats

_UNKNOWN = stats.summarize([])


@dataclasses.dataclass(frozen=True)
class Row:
  """A line of the comparison.

  Attributes:
    kind: "searched", "given", "random" or "published".
    label: what it is of.
    method: as `published.method_of` names it; "random" for random cells.
    data: the data set.
    split: that the accuracies are measured on, with its images.
    seeds: of the runs.
    missing: seeds of the runs whose retraining has not ended.
    accuracy: of the cells, each with the mean of its trainings, in the last
      epoch; `best` is the largest of a single training.
    trainings: that have ended; of a published row 0.
    best_run: that `accuracy.best` is of.
    components: spread of searches and of retrainings.
    against_random: paired with the random cells of the same seeds.
    params: of the networks.
    madds: multiply-adds of an image.
    search_hours: device-hours of a search.
    train_hours: device-hours of the training that follows.
    source: of a published row.
  """

  kind: str
  label: str
  method: str
  data: str
  split: str
  seeds: tuple[int, ...]
  missing: tuple[int, ...]
  accuracy: stats.Summary
  trainings: int
  best_run: str
  components: inference.Components
  against_random: inference.Paired
  params: stats.Summary
  madds: stats.Summary
  search_hours: stats.Summary
  train_hours: stats.Summary
  source: str = ""


def make(groups: Sequence[groups_lib.Group]) -> list[Row]:
  """All rows: the groups, their random cells, the papers' rows for them."""
  return [
    *(_of_group(group) for group in groups),
    *(_of_baseline(line) for line in random_cells.read(groups)),
    *(
      _of_paper(row) for row in published.rows(group.method for group in groups)
    ),
  ]


def to_dict(row: Row) -> dict[str, Any]:
  """The row as plain values, ready for JSON; None for what is not known.

  Only the accuracy has a best value: of costs, less would be better.
  """
  fields = {}
  for field in dataclasses.fields(row):
    value = getattr(row, field.name)
    if hasattr(value, "_asdict"):
      value = {name: _plain(leaf) for name, leaf in value._asdict().items()}
      if field.name != "accuracy":
        value.pop("best", None)
    fields[field.name] = list(value) if isinstance(value, tuple) else value
  return fields


def _of_group(group: groups_lib.Group) -> Row:
  ended = [m for m in group.members if math.isfinite(m.accuracy)]
  best = group.best
  sizes = {m.images for m in ended}
  return Row(
    kind="given" if group.is_given else "searched",
    label=group.label,
    method=group.method,
    data=group.data,
    split=_split(sizes.pop() if len(sizes) == 1 else math.nan),
    seeds=tuple(member.seed for member in group.members),
    missing=tuple(m.seed for m in group.members if m not in ended),
    accuracy=group.summary("accuracy")._replace(
      best=best.accuracy if best else math.nan
    ),
    trainings=len(ended),
    best_run=best.run.name if best else "",
    components=group.components,
    against_random=group.against_random,
    params=group.summary("params"),
    madds=group.summary("madds"),
    search_hours=group.summary("search_hours"),
    train_hours=group.summary("train_hours"),
  )


def _of_baseline(line: random_cells.Baseline) -> Row:
  return Row(
    kind="random",
    label=line.label,
    method="random",
    data=line.data,
    split=_split(line.images),
    seeds=line.seeds,
    missing=(),
    accuracy=stats.summarize(line.accuracies),
    trainings=len(line.accuracies),
    best_run=max(
      zip(line.accuracies, line.names, strict=True), default=(0.0, "")
    )[1],
    components=inference.components([]),
    against_random=inference.paired([]),
    params=stats.summarize(line.params),
    madds=stats.summarize(line.madds),
    search_hours=stats.summarize([0.0]),
    train_hours=_UNKNOWN,
  )


def _of_paper(row: published.Published) -> Row:
  """A paper's row; how many trainings its mean is of is not always told."""
  deviation = math.nan if row.deviation is None else row.deviation / 100
  days = [] if row.days is None else [24 * row.days]
  params = [] if row.params is None else [1e6 * row.params]
  return Row(
    kind="published",
    label=row.label,
    method=row.method,
    data=row.data,
    split="test, 10,000 images",
    seeds=(),
    missing=(),
    accuracy=stats.Summary(1 - row.error / 100, deviation, math.nan, 0, 0),
    trainings=0,
    best_run="",
    components=inference.components([]),
    against_random=inference.paired([]),
    params=stats.summarize(params),
    madds=_UNKNOWN,
    search_hours=stats.summarize(days),
    train_hours=_UNKNOWN,
    source=row.source,
  )


def _split(images: float) -> str:
  return f"test, {int(images):,} images" if math.isfinite(images) else "test"


def _plain(value: float) -> float | None:
  return value if math.isfinite(value) else None
