"""Metrics: sums on the device, means on the host, records in a file.

Means over examples are sums over counts, so a short last batch and eight
devices give the same number as one. Records are JSON lines, one an epoch.
"""

import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp

from jnas.training import processes
from jnas.types import Array

# Fields that two runs of one seed need not share: what was measured of the
# machine, not of the model.
TIME_FIELDS = ("seconds", "devices", "images_per_s", "rss_bytes")


Sums = TypeVar("Sums")  # a pytree


class MetricSums(NamedTuple):
  """Sums over examples.

  Attributes:
    loss: `[]` float32, sum of losses.
    correct: `[]` float32, number of examples classified rightly.
    count: `[]` float32, number of examples; exact up to 2**24.
  """

  loss: Array
  correct: Array
  count: Array


class Means(NamedTuple):
  """Means over examples, on the host."""

  loss: float
  accuracy: float


def zero_sums() -> MetricSums:
  """The sums over no examples."""
  return MetricSums(*(jnp.zeros((), jnp.float32) for _ in range(3)))


def batch_sums(loss_b: Array, correct_b: Array, weight_b: Array) -> MetricSums:
  """Sums over a batch.

  Args:
    loss_b: `[B]` the loss of each example.
    correct_b: `[B]` booleans, whether it was classified rightly.
    weight_b: `[B]` 1 for an example, 0 for padding, whose loss may be NaN.
  """
  chex.assert_rank([loss_b, correct_b, weight_b], 1)
  chex.assert_equal_shape([loss_b, correct_b, weight_b])
  chex.assert_type([loss_b, correct_b], [float, bool])
  counted_b = weight_b != 0
  return MetricSums(
    loss=jnp.where(counted_b, loss_b.astype(jnp.float32), 0).sum(),
    correct=(counted_b & correct_b).sum(dtype=jnp.float32),
    count=counted_b.sum(dtype=jnp.float32),
  )


def add(first: Sums, second: Sums) -> Sums:
  """The sums over the examples of both."""
  return jax.tree.map(jnp.add, first, second)


def mean(sums: MetricSums) -> Means:
  """Means as Python numbers; waits for the device.

  Raises:
    ValueError: there were no examples.
  """
  host = jax.device_get(sums)
  if host.count == 0:
    raise ValueError("no examples were counted, so there is no mean")
  return Means(
    loss=float(host.loss / host.count),
    accuracy=float(host.correct / host.count),
  )


class MetricsFile:
  """A file of records, one JSON object a line.

  Each record has a `kind`: a `header` first, then records with the `step`
  they were made at, and a `summary` once the stage is finished. Write the
  record of a step *before* saving the checkpoint of that step: a resumed run
  keeps the records up to its step and makes the later ones again.

  Of several processes only the first one writes.
  """

  def __init__(self, path: pathlib.Path) -> None:
    self.path = pathlib.Path(path)

  def write(self, record: Mapping[str, Any]) -> None:
    """Appends a record; it is on disk when this returns.

    Arrays become lists. NaN and infinity, which JSON has not, become null.

    Raises:
      ValueError: the record does not say its kind, or its step.
      OSError: the line could not be written, and says so in one line.
    """
    if "kind" not in record:
      raise ValueError(f"a record of metrics has a kind; got {list(record)}")
    if record["kind"] not in ("header", "summary") and "step" not in record:
      raise ValueError(f"a record of kind {record['kind']} needs a step")
    line = json.dumps(_plain(record), allow_nan=False) + "\n"
    if not processes.is_first():
      return
    try:
      self.path.parent.mkdir(parents=True, exist_ok=True)
      with self.path.open("a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
      raise _failure(self.path, error) from error

  def read(self) -> list[dict[str, Any]]:
    """All records, without a last line that a crash left unfinished.

    Raises:
      ValueError: a line before the last is not a JSON object.
    """
    return [record for _, record in self._lines()]

  def truncate_after(self, step: int | None) -> None:
    """Drops what a run resumed from `step` will write again, at one stroke.

    The header and records up to and including `step` stay as they are; later
    ones, the summary and an unfinished last line go. None, for a run without
    a checkpoint, drops everything.
    """
    if not processes.is_first() or not self.path.exists():
      return
    kept = [
      line
      for line, record in self._lines()
      if step is not None
      and record.get("kind") != "summary"
      and record.get("step", step) <= step
    ]
    _replace(self.path, "".join(line + "\n" for line in kept))

  def _lines(self) -> list[tuple[str, dict[str, Any]]]:
    if not self.path.exists():
      return []
    text = self.path.read_text(encoding="utf-8", errors="replace")
    *lines, rest = text.split("\n")
    found = []
    for number, line in enumerate(lines, start=1):
      record = _parse(line)
      if record is None:
        raise ValueError(
          f"{self.path}, line {number} is not a JSON object; remove the line"
        )
      found.append((line, record))
    # Whatever follows the last line's end was being written in a crash.
    record = _parse(rest)
    return found if record is None else [*found, (rest, record)]


def strip_times(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
  """The records without what differs between two runs of one seed."""
  return [
    {name: value for name, value in record.items() if name not in TIME_FIELDS}
    for record in records
  ]


def _parse(line: str) -> dict[str, Any] | None:
  try:
    record = json.loads(line)
  except json.JSONDecodeError:
    return None
  return record if isinstance(record, dict) else None


def _plain(value: Any) -> Any:
  """The value in JSON's types."""
  if isinstance(value, Mapping):
    return {name: _plain(item) for name, item in value.items()}
  if hasattr(value, "tolist"):  # arrays and scalars of NumPy and JAX
    return _plain(value.tolist())
  if isinstance(value, list | tuple):
    return [_plain(item) for item in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def _replace(path: pathlib.Path, text: str) -> None:
  """Gives a file new contents; a crash leaves the old or the new, whole."""
  partial = path.with_name(f".{path.name}.partial")
  try:
    with partial.open("w", encoding="utf-8") as file:
      file.write(text)
      file.flush()
      os.fsync(file.fileno())
    os.replace(partial, path)
  except OSError as error:
    raise _failure(path, error) from error


def _failure(path: pathlib.Path, error: OSError) -> OSError:
  failure = OSError(f"cannot write {path}: {error.strerror}")
  failure.errno = error.errno
  return failure
