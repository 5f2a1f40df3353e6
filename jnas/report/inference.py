"""What several runs say together: parts of the variance, a test, an order.

All values are accuracies as fractions; what cannot be told is NaN.
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats as distributions

# The p-value above which a difference is called noise.
SIGNIFICANT = 0.05


class Components(NamedTuple):
  """The spread of several searches, each retrained several times.

  Attributes:
    search: standard deviation that searching anew adds; 0 where the searches
      differ by no more than their retrainings do.
    retrain: standard deviation of training one network anew.
    num_searches: cells found.
    num_trainings: networks trained, over all cells.
  """

  search: float
  retrain: float
  num_searches: int
  num_trainings: int


class Paired(NamedTuple):
  """A paired comparison.

  Attributes:
    difference: its mean.
    t: Student's t of the differences; NaN unless they vary.
    p: two-sided probability of a t so far from 0 if nothing differed.
    count: pairs.
  """

  difference: float
  t: float
  p: float
  count: int


class Order(NamedTuple):
  """How far two measurements order the same things alike.

  Attributes:
    tau: Kendall's, 1 for the same order and -1 for the opposite one.
    p: two-sided probability of a tau so far from 0 by chance.
    count: things.
  """

  tau: float
  p: float
  count: int


def components(trainings: Sequence[Sequence[float]]) -> Components:
  """Tells the spread of searches from that of retrainings.

  Source: analysis of variance in one way with random effects; the search's
  variance is (between - within) / n, with n the trainings of a search, of
  unequal ones (N - sum n_i^2 / N) / (k - 1).

  Args:
    trainings: for each search the accuracies of its trainings, one or more.
  """
  num_searches, total = len(trainings), sum(map(len, trainings))
  free = total - num_searches
  if free < 1:
    return Components(math.nan, math.nan, num_searches, total)
  means = [statistics.fmean(values) for values in trainings]
  within = (
    sum(
      (value - mean) ** 2
      for values, mean in zip(trainings, means, strict=True)
      for value in values
    )
    / free
  )
  if num_searches < 2:
    return Components(math.nan, math.sqrt(within), num_searches, total)
  grand = statistics.fmean(value for values in trainings for value in values)
  between = sum(
    len(values) * (mean - grand) ** 2
    for values, mean in zip(trainings, means, strict=True)
  ) / (num_searches - 1)
  size = (total - sum(len(values) ** 2 for values in trainings) / total) / (
    num_searches - 1
  )
  search = math.sqrt(max(0.0, between - within) / size)
  return Components(search, math.sqrt(within), num_searches, total)


def paired(differences: Sequence[float]) -> Paired:
  """Student's paired t-test, two-sided.

  Args:
    differences: one for each pair, all finite.
  """
  count = len(differences)
  mean = statistics.fmean(differences) if count else math.nan
  deviation = statistics.stdev(differences) if count > 1 else math.nan
  # Equal differences leave nothing to judge them by.
  if not deviation > 1e-12 * max(1.0, abs(mean)):
    return Paired(mean, math.nan, math.nan, count)
  t, p = np.asarray(distributions.ttest_1samp(differences, 0.0))
  return Paired(mean, float(t), float(p), count)


def welch(first: Sequence[float], second: Sequence[float]) -> float:
  """Two-sided p of Welch's t-test, whose deviations may differ.

  Args:
    first: values of one sample; with fewer than 2 the result is NaN.
    second: likewise, of the other.
  """
  if min(len(first), len(second)) < 2:
    return math.nan
  if statistics.stdev(first) == statistics.stdev(second) == 0:
    return math.nan
  _, p = np.asarray(distributions.ttest_ind(first, second, equal_var=False))
  return float(p)


def kendall(x: Sequence[float], y: Sequence[float]) -> Order:
  """Kendall's tau-b, which counts ties in neither favour.

  Args:
    x: 3 or more values; with fewer tau and p are NaN.
    y: as many.
  """
  if len(x) < 3 or len(set(x)) < 2 or len(set(y)) < 2:
    return Order(math.nan, math.nan, len(x))
  tau, p = np.asarray(distributions.kendalltau(x, y))
  return Order(float(tau), float(p), len(x))


def noise(p: float) -> str:
  """What a p-value leaves of a difference, in words; empty if it stands."""
  if math.isfinite(p) and p > SIGNIFICANT:
    return f"within noise (p = {p:.2f})"
  return ""
