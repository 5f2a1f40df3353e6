"""Statistics over several runs, against numbers worked by hand."""

import math

import pytest

from jnas.report import inference


def test_components_of_two_searches_retrained_twice():
  # Means 0.91 and 0.95, within (4 * 0.01^2) / (4 - 2) = 2e-4.
  # Between 2 * 2 * 0.02^2 / (2 - 1) = 16e-4; (16e-4 - 2e-4) / 2 = 7e-4.
  found = inference.components([[0.90, 0.92], [0.94, 0.96]])
  assert found.retrain == pytest.approx(math.sqrt(2e-4))
  assert found.search == pytest.approx(math.sqrt(7e-4))
  assert (found.num_searches, found.num_trainings) == (2, 4)


def test_components_of_searches_retrained_unequally_often():
  # Within: (0.01^2 + 0.01^2) / (3 - 2) = 2e-4. Grand mean (0.9 + 0.92 + 0.97)
  # / 3 = 0.93; between: 2 * 0.02^2 + 0.04^2 = 24e-4, over 1.
  # Trainings of a search: (3 - (4 + 1) / 3) / 1 = 4/3; 22e-4 / (4/3) = 16.5e-4.
  found = inference.components([[0.90, 0.92], [0.97]])
  assert found.retrain == pytest.approx(math.sqrt(2e-4))
  assert found.search == pytest.approx(math.sqrt(16.5e-4))


def test_searches_that_differ_less_than_their_retrainings_add_nothing():
  found = inference.components([[0.8, 0.9], [0.81, 0.89]])
  assert found.search == 0


def test_one_training_of_each_search_cannot_tell_the_two_apart():
  found = inference.components([[0.9], [0.92], [0.94]])
  assert math.isnan(found.search) and math.isnan(found.retrain)
  assert (found.num_searches, found.num_trainings) == (3, 3)
  # Of one search alone the retrainings are known.
  found = inference.components([[0.90, 0.92]])
  assert math.isnan(found.search)
  assert found.retrain == pytest.approx(math.sqrt(2e-4))
  assert inference.components([]).num_searches == 0


def test_paired_test_of_three_differences():
  # Mean 0.02, deviation 0.01, t = 0.02 / (0.01 / sqrt 3) = 3.4641. With two
  # degrees of freedom p = 1 - t / sqrt(2 + t^2) = 1 - 3.4641 / 3.7417.
  found = inference.paired([0.01, 0.03, 0.02])
  assert found.difference == pytest.approx(0.02)
  assert found.t == pytest.approx(2 * math.sqrt(3))
  assert found.p == pytest.approx(1 - math.sqrt(12 / 14))
  assert found.count == 3
  other = inference.paired([-0.01, -0.03, -0.02])
  assert other.t == pytest.approx(-found.t) and other.p == pytest.approx(
    found.p
  )


@pytest.mark.parametrize("differences", [[], [0.01], [0.01, 0.01, 0.01]])
def test_differences_that_do_not_vary_have_no_test(differences):
  found = inference.paired(differences)
  assert math.isnan(found.t) and math.isnan(found.p)
  assert found.count == len(differences)


def test_kendall_tau_counts_pairs():
  # Of six pairs one, (2, 3), is the other way round: (5 - 1) / 6.
  found = inference.kendall([1, 2, 3, 4], [1, 3, 2, 4])
  assert found.tau == pytest.approx(4 / 6) and found.count == 4
  # Of 24 orders 1 has no pair the other way round and 3 have one; as many are
  # as far from 0 on the other side.
  assert found.p == pytest.approx(2 * 4 / 24)
  assert inference.kendall([1, 2, 3], [3, 2, 1]).tau == -1
  # One pair of three is tied in y: 2 / sqrt(3 * 2).
  assert inference.kendall([1, 2, 3], [1, 1, 2]).tau == pytest.approx(
    2 / math.sqrt(6)
  )


def test_kendall_tau_of_too_little_is_not_a_number():
  assert math.isnan(inference.kendall([1, 2], [1, 2]).tau)
  assert math.isnan(inference.kendall([1, 2, 3], [5, 5, 5]).p)


def test_welch_tells_samples_of_unlike_spread_apart():
  # Means 2 and 5, variances 1 and 1 of 3 values: t = 3 / sqrt(2 / 3) with 4
  # degrees, whose two-sided p is 0.0213.
  assert inference.welch([1, 2, 3], [4, 5, 6]) == pytest.approx(
    0.0213, abs=1e-4
  )
  assert math.isnan(inference.welch([1, 2, 3], [4]))
  assert math.isnan(inference.welch([1, 1], [4, 4]))


def test_only_a_large_p_is_called_noise():
  assert inference.noise(0.51) == "within noise (p = 0.51)"
  assert inference.noise(0.04) == inference.noise(math.nan) == ""
