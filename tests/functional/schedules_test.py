"""Schedules at points that can be worked by hand."""

import numpy as np
import pytest

from jnas.functional import schedules


@pytest.mark.parametrize(
  ("epoch", "expected"),
  [(0, 0.1), (25, 0.001 + 0.099 * 0.853553), (50, 0.0505), (100, 0.001)],
)
def test_cosine(epoch, expected):
  found = schedules.cosine(epoch, start=0.1, end=0.001, num_epochs=100)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(("epoch", "expected"), [(0, 0), (3, 0.06), (10, 0.2)])
def test_linear(epoch, expected):
  found = schedules.linear(epoch, start=0.0, end=0.2, num_epochs=10)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
  ("epoch", "expected"), [(0, 5.0), (1, 4.615), (2, 4.259645)]
)
def test_exponential(epoch, expected):
  found = schedules.exponential(epoch, start=5.0, decay=0.923)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
  ("epoch", "expected"), [(0, 1.0), (75, 0.515), (150, 0.03)]
)
def test_the_temperature_of_snas_is_linear(epoch, expected):
  # (1 - e / 150) (1 - 0.03) + 0.03
  found = schedules.linear(epoch, start=1.0, end=0.03, num_epochs=150)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
  ("epoch", "expected"), [(0, 0.03), (25, 0.165), (50, 0.3)]
)
def test_the_noise_of_sdarts_is_linear(epoch, expected):
  found = schedules.linear(epoch, start=0.03, end=0.3, num_epochs=50)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_last_temperature_of_entrannas():
  found = schedules.exponential(49, start=5.0, decay=0.923)
  np.testing.assert_allclose(found, 0.0986, atol=5e-5)


@pytest.mark.parametrize(
  ("step", "expected"), [(0, 0.0), (15_000, 0.05), (30_000, 0.1), (1e6, 0.1)]
)
def test_a_ramp_stays_at_its_end(step, expected):
  found = schedules.ramp(step, start=0.0, end=0.1, num_steps=30_000)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
