"""Timing with a clock of our own."""

import itertools

import jax.numpy as jnp
import pytest

from jnas import latency


def test_the_median_of_the_runs_after_the_warmup_counts():
  calls = []
  # Each run reads the clock twice; the three take 1, 9 and 2 ms.
  clock = iter([0.0, 0.001, 0.010, 0.019, 0.020, 0.022])

  def function(x):
    calls.append(x)
    return jnp.asarray(x)

  timing = latency.time_calls(
    function, 7, warmup=2, repeats=3, clock=lambda: next(clock)
  )
  assert calls == [7] * 5
  assert timing.median_ms == pytest.approx(2.0)
  # Quartiles of 1, 2, 9: 1.5 and 5.5.
  assert timing.spread_ms == pytest.approx(4.0)
  assert next(clock, None) is None


def test_a_slower_function_takes_longer_by_the_real_clock():
  def spin(turns):
    total = sum(itertools.islice(itertools.count(), turns))
    return jnp.asarray(float(total))

  quick, slow = (
    latency.time_calls(spin, turns, warmup=1, repeats=5)
    for turns in (10, 1_000_000)
  )
  assert slow.median_ms > quick.median_ms


def test_the_device_is_described_by_what_a_measurement_depends_on():
  described = latency.describe_device()
  assert set(described) == {
    "platform",
    "kind",
    "driver",
    "jax",
    "jaxlib",
    "python",
  }
  assert all(described[name] for name in ("platform", "kind", "jax"))
