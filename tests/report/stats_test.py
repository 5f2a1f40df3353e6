"""Statistics over seeds."""

import math

from jnas.report import stats


def test_summary_of_three_seeds_is_worked_by_hand():
  # Mean (0.90 + 0.92 + 0.97) / 3 = 0.93; squares 9e-4 + 1e-4 + 16e-4 = 26e-4;
  # deviation sqrt(26e-4 / 2) = 0.036056.
  found = stats.summarize([0.90, 0.92, 0.97])
  assert math.isclose(found.mean, 0.93)
  assert math.isclose(found.deviation, math.sqrt(13e-4))
  assert (found.best, found.count, found.missing) == (0.97, 3, 0)


def test_values_that_are_not_finite_are_counted_and_left_out():
  found = stats.summarize([0.5, math.nan, math.inf])
  assert (found.mean, found.best, found.count, found.missing) == (
    0.5,
    0.5,
    1,
    2,
  )
  assert math.isnan(found.deviation)


def test_nothing_to_summarize_is_not_a_number():
  found = stats.summarize([])
  assert math.isnan(found.mean) and math.isnan(found.best)
  assert (found.count, found.missing) == (0, 0)


def test_error_of_an_accuracy_is_the_binomial_one():
  # sqrt(0.9 * 0.1 / 2500) = 0.3 / 50.
  assert math.isclose(stats.accuracy_error(0.9, 2500), 0.006)
  assert math.isnan(stats.accuracy_error(math.nan, 2500))
  assert math.isnan(stats.accuracy_error(0.9, math.nan))
  assert math.isnan(stats.accuracy_error(0.9, 0))
