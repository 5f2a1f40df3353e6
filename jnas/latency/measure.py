"""How long a compiled program takes on this device.

Source: SPEC 3.9, latency of a sample: the median of 10 timed runs. UNAS's code
has no warm-up of its own; here the first runs are not counted.
"""

import platform
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxlib import version as jaxlib_version


class Timing(NamedTuple):
  """What repeated runs took.

  Attributes:
    median_ms: of the runs.
    spread_ms: between their quartiles.
  """

  median_ms: float
  spread_ms: float


def time_calls(
  function: Callable[..., Any],
  *args: Any,
  warmup: int,
  repeats: int,
  clock: Callable[[], float] = time.perf_counter,
) -> Timing:
  """Times a function until its result is there.

  Args:
    function: compiled; what it returns are arrays.
    *args: of the function, on the device.
    warmup: runs that are not counted.
    repeats: runs that are.
    clock: gives seconds.
  """
  for _ in range(warmup):
    jax.block_until_ready(function(*args))
  taken = []
  for _ in range(repeats):
    began = clock()
    jax.block_until_ready(function(*args))
    taken.append(1e3 * (clock() - began))
  lower, median, upper = np.quantile(taken, [0.25, 0.5, 0.75])
  return Timing(float(median), float(upper - lower))


def describe_device() -> dict[str, str]:
  """What a measurement depends on: device, driver, versions, as text."""
  device = jax.local_devices()[0]
  processor = platform.processor() or platform.machine()
  kind = device.device_kind
  return {
    "platform": device.platform,
    "kind": f"{kind} ({processor})" if device.platform == "cpu" else kind,
    "driver": " ".join(device.client.platform_version.split()),
    "jax": jax.__version__,
    "jaxlib": jaxlib_version.__version__,
    "python": platform.python_version(),
  }
