"""What a claim and a verdict are, and how figures are written.

Source: SPEC 5.
"""

import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jnas import config as configs

# The record of each seed of an arm: that of `claims.record`, or what the arm's
# own measure returns.
Records = Sequence[Mapping[str, Any]]

# Measures an arm, in its run folder: `(config, path) -> record`, of what JSON
# can hold.
Measure = Callable[[configs.Config, pathlib.Path], dict[str, Any]]


class Verdict(NamedTuple):
  """What was found.

  Attributes:
    ours: figures, mean and standard deviation over the seeds.
    holds: whether they bear the claim out; None where that is not judged.
  """

  ours: str
  holds: bool | None


class Claim(NamedTuple):
  """A published claim.

  Attributes:
    statement: what is claimed.
    paper: its figures.
    arms: names of configs, without "claims/".
    judge: `({arm: records}) -> Verdict`, toys among the arms.
    retrains: whether the networks of the cells found are trained from scratch.
    needs_table: whether the cells found are looked up in NAS-Bench-201.
    measures: what measures an arm, by name, where that is not a search, a
      selection and a training.
    toys: problems without a network, by name: `seed -> record`, in seconds.
    alone: whether time is measured, so that no arm may run beside another.
    seeded: whether seeds matter; if not, the first one alone is run.
  """

  statement: str
  paper: str
  arms: tuple[str, ...]
  judge: Callable[[Mapping[str, Records]], Verdict]
  retrains: bool = False
  needs_table: bool = False
  measures: Mapping[str, Measure] = {}
  toys: Mapping[str, Callable[[int], dict[str, Any]]] = {}
  alone: bool = False
  seeded: bool = True


def points(values: Sequence[float]) -> str:
  """Mean and deviation of shares, in points."""
  return spread([100 * value for value in values])


def spread(values: Sequence[float], *, digits: int = 1) -> str:
  """Mean and standard deviation; one value has none."""
  mean = f"{statistics.mean(values):.{digits}f}"
  if len(values) == 1:
    return mean
  return f"{mean} +- {statistics.stdev(values):.{digits}f}"


def field(records: Records, name: str) -> list[float]:
  """One field of each record."""
  return [record[name] for record in records]
