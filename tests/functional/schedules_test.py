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
