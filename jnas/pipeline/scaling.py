"""What a step tells between devices, and what that costs on more of them.

Data parallel with the same images on each device, however many there are. A
prediction on paper: bytes and calls are those of the compiled step, the rest is
assumed, and said.

Choice: nothing is overlapped. The all-reduces of batch norm, which are most of
the calls, cannot be: the layer waits for them.
"""

import math
import statistics
from typing import Any, NamedTuple

from jnas import config as configs
from jnas.nets import count
from jnas.pipeline import bench, display
from jnas.training import collectives, sharding


class Network(NamedTuple):
  """Devices, and what connects them.

  Attributes:
    name: for people.
    devices: in all.
    bytes_per_s: that a device sends while it receives as many.
    hop_s: seconds until the smallest message has arrived at another device.
  """

  name: str
  devices: int
  bytes_per_s: float
  hop_s: float

  def all_reduce_s(self, traffic: collectives.Traffic) -> float:
    """Seconds of a step's all-reduces, one after another.

    A ring sends 2 (n - 1) / n of the bytes through each device; a call takes
    no less than a tree there and back, 2 log2(n) hops.
    """
    share = 2 * (self.devices - 1) / self.devices
    hops = 2 * math.ceil(math.log2(self.devices))
    return (
      share * traffic.num_bytes / (REACHED * self.bytes_per_s)
      + traffic.calls * hops * self.hop_s
    )


# Share of a connection's bandwidth that all-reduces reach.
REACHED = 0.8
NETWORKS = (
  # NVLink 4: 900 GB/s, half of it each way.
  Network("8 H100", 8, 450e9, 2e-6),
  # A card of 400 Gb/s for each GPU; a ring is as fast as its slowest part.
  Network("64 hosts of 8 H100", 512, 50e9, 5e-6),
)


def run(
  config: configs.Config,
  *,
  workload: str,
  step_seconds: float | None,
  repeats: int,
) -> dict[str, Any]:
  """Counts and predicts.

  Args:
    config: of the run.
    workload: of `bench.WORKLOADS`: "step" for the search, whose two steps
      count together, or "evaluate".
    step_seconds: that they take on one device with its share of the batch;
      None to time them here.
    repeats: timed runs, where they are timed here.

  Returns:
    The fields of `jnas bench scaling --json`.

  Raises:
    ValueError: for bad input, or with fewer than two devices.
  """
  if step_seconds is not None and not 0 < step_seconds < math.inf:
    raise ValueError(f"--step-seconds is {step_seconds}; it must be above 0")
  devices = len(sharding.devices())
  if devices < 2:
    raise ValueError(
      f"--devices is {devices}; it must be 2 or more for devices to tell each "
      "other anything: --devices 4 divides a CPU"
    )
  work = bench.WORKLOADS[workload](config)
  total, steps, seconds = collectives.Traffic(), {}, 0.0
  for name, function in work.steps.items():
    with display.waiting(f"compiling {name.removesuffix('_s')}"):
      compiled = bench.compile_step(function, work)
    found = collectives.count(compiled.as_text())
    steps[name.removesuffix("_s")] = found._asdict()
    total = total.plus(found)
    if step_seconds is None:
      timed = bench.timer(compiled, work)
      seconds += statistics.median([timed() for _ in range(repeats + 1)][1:])
  seconds = seconds if step_seconds is None else step_seconds
  return {
    "steps": steps,
    "all_reduces": total.calls,
    "all_reduced_bytes": total.num_bytes,
    "other_collectives": total.others,
    "params": count.count_params(work.state.params),
    "devices": devices,
    "batch_per_device": work.batch_size // devices,
    "step_seconds": seconds,
    "step_seconds_are": "measured here" if step_seconds is None else "given",
    "reached_bandwidth": REACHED,
    "networks": [_predict(network, total, seconds) for network in NETWORKS],
  }


def _predict(
  network: Network, traffic: collectives.Traffic, seconds: float
) -> dict[str, Any]:
  all_reduce_s = network.all_reduce_s(traffic)
  return {
    **network._asdict(),
    "all_reduce_s": all_reduce_s,
    "efficiency": seconds / (seconds + all_reduce_s),
  }


def describe(result: dict[str, Any]) -> str:
  """The lines of `jnas bench scaling`."""
  lines = [
    f"{step}: {found['calls']:,} all-reduces of {found['num_bytes']:,} bytes"
    for step, found in result["steps"].items()
  ]
  if result["other_collectives"]:
    lines.append(
      f"other collectives, not counted: {result['other_collectives']}"
    )
  lines.append(
    f"parameters: {result['params']:,}; a step of {result['step_seconds']:.3g} "
    f"s ({result['step_seconds_are']}) on each device, with the same images on "
    "each"
  )
  for network in result["networks"]:
    lines.append(
      f"{network['name']} ({network['bytes_per_s'] / 1e9:.0f} GB/s each way, "
      f"{REACHED:.0%} of it reached, {network['hop_s'] * 1e6:.0f} us a hop): "
      f"all-reduces {network['all_reduce_s'] * 1e3:.2f} ms, efficiency "
      f"{network['efficiency']:.1%}"
    )
  return "\n".join(lines)
