"""EnTranNAS's claims.

Source: EnTranNAS (arXiv:2101.11342); SPEC 5.
"""

import statistics
from collections.abc import Mapping, Sequence

from jnas.pipeline.measures import cost
from jnas.pipeline.verdicts import base


def _engines(records: Mapping[str, base.Records]) -> base.Verdict:
  arms = ("all", "half", "last", "first")
  drops = {arm: base.field(records[f"engine_{arm}"], "gap") for arm in arms}
  mean = {arm: statistics.mean(values) for arm, values in drops.items()}
  rest = max(mean["last"], mean["first"])
  return base.Verdict(
    ", ".join(f"{arm} {base.points(drops[arm])}" for arm in arms) + " points",
    mean["all"] > mean["half"] > rest and rest <= 0.05,
  )


def _sparsities(records: Mapping[str, base.Records]) -> base.Verdict:
  counts = [
    [
      record["connections_normal"] + record["connections_reduce"]
      for record in records[f"sparsity_{tag}"]
    ]
    for tag in ("20", "10", "05")
  ]
  means = [statistics.mean(values) for values in counts]
  shown = ", ".join(base.spread(values) for values in counts)
  return base.Verdict(f"{shown} connections", means == sorted(means))


def _structures(records: Mapping[str, base.Records]) -> base.Verdict:
  dst = base.field(records["sparsity_20"], "gap")
  engine = base.field(records["sparsity_none"], "gap")
  return base.Verdict(
    f"DST {base.points(dst)}, EnTranNAS {base.points(engine)} points",
    statistics.mean(dst) <= statistics.mean(engine) + 0.02,
  )


def _savings(records: Mapping[str, base.Records]) -> base.Verdict:
  costs = [records[arm][0] for arm in _LADDER]
  flops, memory, seconds = (
    [row[name] for row in costs] for name in ("flops", "peak_bytes", "step_s")
  )

  def shown(values: Sequence[float], scale: float, digits: int) -> str:
    return ", ".join(f"{value / scale:.{digits}f}" for value in values)

  return base.Verdict(
    f"{shown(flops, 1e9, 1)} GFLOP, {shown(memory, 1e6, 0)} MB, "
    f"{shown(seconds, 1, 2)} s a step; {flops[0] / flops[-1]:.1f} times fewer "
    "operations in all",
    _falls(flops) and _falls(memory) and flops[0] >= 4 * flops[-1],
  )


def _falls(values: Sequence[float]) -> bool:
  return all(
    later < earlier for earlier, later in zip(values, values[1:], strict=False)
  )


def _growth(records: Mapping[str, base.Records]) -> base.Verdict:
  def grows(arm: str, name: str) -> float:
    few, many = (
      records[f"savings_{arm}{tag}"][0][name] for tag in ("", "_12ops")
    )
    return many / few - 1

  flops = {arm: grows(arm, "flops") for arm in ("all", "none")}
  return base.Verdict(
    "; ".join(
      f"{name} {100 * flops[arm]:+.0f} % operations, "
      f"{100 * grows(arm, 'peak_bytes'):+.0f} % memory, "
      f"{100 * grows(arm, 'step_s'):+.0f} % time"
      for name, arm in (("EnTranNAS", "all"), ("without savings", "none"))
    ),
    flops["all"] <= 0.4 and flops["all"] < flops["none"],
  )


_LADDER = tuple(
  f"savings_{arm}" for arm in ("none", "engine", "sharing", "all")
)
_SPACES = tuple(
  f"savings_{arm}" for arm in ("all", "all_12ops", "none", "none_12ops")
)

CLAIMS = {
  "P5": base.Claim(
    "the fewer Engine-cells, the smaller the loss of the child",
    "all 24.3, half 21.9, last 0.7, first 0.4 points (EnTranNAS Table 1)",
    ("engine_all", "engine_half", "engine_last", "engine_first"),
    _engines,
  ),
  "P8": base.Claim(
    "a larger lambda leaves fewer connections",
    "17, 17, 27 edges for 0.2, 0.1, 0.05 (EnTranNAS Table 4)",
    ("sparsity_20", "sparsity_10", "sparsity_05"),
    _sparsities,
  ),
  "P9": base.Claim(
    "a child of DST keeps the accuracy of its supernet as in EnTranNAS",
    "Kendall's tau 0.60 against 0.33 (EnTranNAS Figure 4)",
    ("sparsity_20", "sparsity_none"),
    _structures,
  ),
  "P6": base.Claim(
    "each saving of EnTranNAS takes fewer operations and less memory",
    "9.0, 4.5, 2.6, 1.5 GB; 0.73 to 0.06 GPU-days (EnTranNAS Table 3)",
    _LADDER,
    _savings,
    measures=dict.fromkeys(_LADDER, cost.step_cost),
    alone=True,
    seeded=False,
  ),
  "P7": base.Claim(
    "12 operations cost EnTranNAS little more than 7",
    "0.07 against 0.06 GPU-days (EnTranNAS Table 6)",
    _SPACES,
    _growth,
    measures=dict.fromkeys(_SPACES, cost.step_cost),
    alone=True,
    seeded=False,
  ),
}
