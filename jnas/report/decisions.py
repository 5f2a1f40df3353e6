"""The decisions of a selection, each with the scores it was made by."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jnas.report import folder


class Decision(NamedTuple):
  """An edge's operation or a node's edges, decided or being tried.

  Attributes:
    cell_type: whose cell.
    place: the edge as "0 → 2", or the node as "node 4".
    is_node: whether a node's edges are decided, and not an operation.
    scores: what the supernet is worth without each candidate, an operation or
      an edge's source, in order of trial; empty where nothing was tried.
    chosen: the operation, or the sources kept; empty while being tried.
    largest: the operation of the largest mixing weight; "" for a node.
    before: accuracy of the supernet, on valid, when the decision was made;
      NaN if unknown.
    after: the same after the tuning that followed; NaN before or without it.
  """

  cell_type: str
  place: str
  is_node: bool
  scores: Mapping[str, float]
  chosen: tuple[str, ...]
  largest: str
  before: float
  after: float


def read(log: folder.Log, start: float, criterion: str) -> list[Decision]:
  """The decisions in order, and at the end the one that is being tried.

  Args:
    log: of the selection.
    start: accuracy on the valid split at the end of the search.
    criterion: what trials are judged by, "acc" or "loss".
  """
  metric = "loss" if criterion == "loss" else "accuracy"
  found = []
  for trials, end in _groups(log.events):
    first = end or trials[0]
    if first.get("cell_type") is None:
      continue
    is_node = "node" in first or any("op" not in trial for trial in trials)
    epoch = folder.number(first, "epoch")
    place = f"node {first.get('node')}" if is_node else _arrow(first)
    found.append(
      Decision(
        str(first["cell_type"]),
        place,
        is_node,
        {
          _candidate(trial, is_node): folder.number(trial, metric)
          for trial in trials
        },
        _chosen(end, is_node),
        "" if is_node else str(end.get("largest_op", "")),
        _last(log, start, before=epoch),
        _first(log, since=epoch),
      )
    )
  return found


def _groups(
  events: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[list[Mapping[str, Any]], Mapping[str, Any]]]:
  """Trials, and the decision that ends them; empty where it is to come."""
  trials: list[Mapping[str, Any]] = []
  for event in events:
    if event["kind"] == "trial":
      trials.append(event)
    else:
      yield trials, event
      trials = []
  if trials:
    yield trials, {}


def _arrow(entry: Mapping[str, Any]) -> str:
  edge = entry.get("edge")
  ends = edge if isinstance(edge, list) else []
  return " → ".join(map(str, ends))


def _candidate(trial: Mapping[str, Any], is_node: bool) -> str:
  if not is_node:
    return str(trial.get("op"))
  edge = trial.get("edge")
  return str(edge[0]) if isinstance(edge, list) and edge else ""


def _chosen(end: Mapping[str, Any], is_node: bool) -> tuple[str, ...]:
  if is_node:
    kept = end.get("kept")
    return tuple(map(str, kept)) if isinstance(kept, list) else ()
  return (str(end["op"]),) if "op" in end else ()


def _last(log: folder.Log, start: float, *, before: float) -> float:
  """The last accuracy measured before an epoch."""
  known = [
    value
    for epoch, value in zip(
      log.numbers(), log.values("valid_accuracy"), strict=True
    )
    if epoch < before and math.isfinite(value)
  ]
  return known[-1] if known else start


def _first(log: folder.Log, *, since: float) -> float:
  """The first accuracy measured at the end of an epoch or later."""
  measured = zip(log.numbers(), log.values("valid_accuracy"), strict=True)
  return next(
    (v for epoch, v in measured if epoch >= since and math.isfinite(v)),
    math.nan,
  )
