"""Mean, deviation and best of a measurement over seeds."""

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple


class Summary(NamedTuple):
  """A measurement over several seeds.

  Attributes:
    mean: of the finite values; NaN if there is none.
    deviation: standard deviation with n - 1 below the line; NaN for n < 2.
    best: the largest; NaN if there is none.
    count: finite values, n.
    missing: values that are not finite, left out of the others.
  """

  mean: float
  deviation: float
  best: float
  count: int
  missing: int


def summarize(values: Iterable[float]) -> Summary:
  """The summary of a measurement where more is better."""
  values = list(values)
  finite = [value for value in values if math.isfinite(value)]
  return Summary(
    mean=statistics.fmean(finite) if finite else math.nan,
    deviation=statistics.stdev(finite) if len(finite) > 1 else math.nan,
    best=max(finite, default=math.nan),
    count=len(finite),
    missing=len(values) - len(finite),
  )


def accuracy_error(accuracy: float, num_images: float) -> float:
  """Standard error of an accuracy that was measured on so many images.

  It is the spread to expect from other images alone: training anew with
  another seed adds to it.

  Args:
    accuracy: a fraction, 0 to 1.
    num_images: images judged; NaN if unknown, as is then the result.
  """
  if not 0 <= accuracy <= 1 or not num_images > 0:
    return math.nan
  return math.sqrt(accuracy * (1 - accuracy) / num_images)
