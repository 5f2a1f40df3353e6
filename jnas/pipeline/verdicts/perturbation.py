"""The claims of perturbation-based selection.

Source: PT (arXiv:2108.04392); SPEC 5.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jnas.pipeline.measures import shuffling
from jnas.pipeline.verdicts import base


def _robustness(space: str, wanted: str) -> Callable[..., base.Verdict]:
  """A judge of PT against magnitude in one of the spaces S1 to S4."""

  def judge(records: Mapping[str, base.Records]) -> base.Verdict:
    shown, counts, accuracies = [], {}, {}
    for name, arm in (
      ("DARTS", "darts"),
      ("PT", "pt"),
      ("PT, frozen alpha", "pt_frozen"),
      ("PT-Mag", "pt_mag"),
    ):
      rows = records[f"{space}_{arm}"]
      counts[arm] = [
        sum(cell.get(wanted, 0) for cell in row["found_ops"].values())
        for row in rows
      ]
      accuracies[arm] = base.field(rows, "test_accuracy")
      shown.append(
        f"{name} {base.points(accuracies[arm])} %, "
        f"{base.spread(counts[arm])} {wanted}"
      )
    mean = statistics.mean
    ours, theirs = mean(counts["pt"]), mean(counts["darts"])
    # Of noise as little as possible, of convolutions as many.
    fits = ours == 0 or ours < theirs if wanted == "noise" else ours >= theirs
    close = mean(accuracies["pt"]) >= mean(accuracies["darts"]) - 0.01
    return base.Verdict("; ".join(shown), fits and close)

  return judge


def _skips(records: Mapping[str, base.Records]) -> base.Verdict:
  def leads(record: Mapping[str, Any], name: str) -> list[float]:
    # Columns of S2: skip_connect, sep_conv_3x3.
    rows = [row for cell in record[name].values() for row in cell]
    return [skip - conv for skip, conv in rows]

  first, last, shares = [], [], []
  for record in records["s2_darts"]:
    first.append(statistics.mean(leads(record, "first_mixing")))
    final = leads(record, "mixing")
    last.append(statistics.mean(final))
    shares.append(sum(lead > 0 for lead in final) / len(final))
  return base.Verdict(
    f"weight of skip_connect less that of sep_conv_3x3 "
    f"{base.spread(first, digits=3)} at first, {base.spread(last, digits=3)} "
    f"at last; above 0 on {base.points(shares)} % of the edges",
    statistics.mean(last) > statistics.mean(first),
  )


def _trajectories(records: Mapping[str, base.Records]) -> base.Verdict:
  perturbed, largest = (
    [statistics.mean(row["trajectory"]) for row in records[arm]]
    for arm in ("s4_pt", "s4_pt_mag")
  )
  higher = sum(a >= b for a, b in zip(perturbed, largest, strict=True))
  return base.Verdict(
    f"PT {base.points(perturbed)}, PT-Mag {base.points(largest)} % on average "
    f"over the decisions; higher in {higher} of {len(perturbed)} seeds",
    statistics.mean(perturbed) >= statistics.mean(largest),
  )


def _best(values: Sequence[float]) -> str:
  return f"{base.spread(values)} (best {max(values):.2f})"


def _benchmark(records: Mapping[str, base.Records]) -> base.Verdict:
  def real(arm: str, cell: str = "found") -> list[float]:
    return [
      record["benchmark"][cell]["scores"]["cifar10"]["accuracy"]
      for record in records[arm]
    ]

  found = {
    "DARTS": real("benchmark_pt", "before_selection"),
    "DARTS+PT": real("benchmark_pt"),
    "PT, frozen alpha": real("benchmark_pt_frozen"),
    "SNAS": real("benchmark_snas"),
    "random search": real("benchmark_random"),
  }
  mean = {name: statistics.mean(values) for name, values in found.items()}
  return base.Verdict(
    "; ".join(f"{name} {_best(values)}" for name, values in found.items())
    + " % on CIFAR-10 by the table",
    mean["DARTS"] < mean["DARTS+PT"] < mean["PT, frozen alpha"],
  )


def _shuffles(records: Mapping[str, base.Records]) -> base.Verdict:
  losses, shown = {}, []
  for name, arm in (("supernet", "gap_darts"), ("plain network", "plain")):
    rows = records[arm]
    losses[arm] = statistics.mean(row["before"] - row["mean"] for row in rows)
    shown.append(
      f"{name} {base.points(base.field(rows, 'before'))} to "
      f"{base.points(base.field(rows, 'mean'))} %"
    )
  return base.Verdict(
    ", ".join(shown),
    losses["plain"] > 0.05 and losses["gap_darts"] <= losses["plain"] / 2,
  )


def _tunings(records: Mapping[str, base.Records]) -> base.Verdict:
  found = {
    epochs: base.field(records[f"tuning_{epochs}"], "test_accuracy")
    for epochs in (0, 1, 5, 10)
  }
  mean = {epochs: statistics.mean(values) for epochs, values in found.items()}
  noise = max(
    [0.01] + [statistics.stdev(found[n]) for n in (5, 10) if len(found[n]) > 1]
  )
  return base.Verdict(
    ", ".join(base.points(values) for values in found.values()) + " %",
    mean[0] < mean[5] and abs(mean[10] - mean[5]) <= noise,
  )


CLAIMS = {
  "P10-S2": base.Claim(
    "PT keeps convolutions where magnitude falls for skips, on S2",
    "error DARTS 4.85, PT 2.79, frozen 2.59 % (PT Table 3)",
    ("s2_darts", "s2_pt", "s2_pt_frozen", "s2_pt_mag"),
    _robustness("s2", "sep_conv_3x3"),
    retrains=True,
  ),
  "P10-S4": base.Claim(
    "PT avoids noise where magnitude picks it, on S4",
    "error DARTS 7.20, PT 2.64, frozen 2.58 % (PT Table 3)",
    ("s4_darts", "s4_pt", "s4_pt_frozen", "s4_pt_mag"),
    _robustness("s4", "noise"),
    retrains=True,
  ),
  "P11": base.Claim(
    "skip_connect outgrows sep_conv_3x3 on S2 in DARTS",
    "on 12 of 14 edges (PT Figure 2)",
    ("s2_darts",),
    _skips,
  ),
  "P12": base.Claim(
    "the supernet stays better while PT decides than while PT-Mag does, on S4",
    "a figure (PT Figure 6)",
    ("s4_pt", "s4_pt_mag"),
    _trajectories,
  ),
  "P13": base.Claim(
    "PT finds what DARTS misses in NAS-Bench-201, with frozen alpha too",
    "DARTS 54.3, PT 88.11, frozen 93.80 % (PT Table 4)",
    (
      "benchmark_pt",
      "benchmark_pt_frozen",
      "benchmark_snas",
      "benchmark_random",
    ),
    _benchmark,
    needs_table=True,
  ),
  "P14": base.Claim(
    "a supernet works on with two edges of each cell exchanged, a plain stack "
    "of convolutions with two layers exchanged does not",
    "supernet 88.44 to 81.09 %, VGG 92.69 to 9.83 % (PT Table 1)",
    ("gap_darts", "plain"),
    _shuffles,
    measures={
      "gap_darts": shuffling.supernet_shuffled,
      "plain": shuffling.plain_shuffled,
    },
  ),
  "P15": base.Claim(
    "PT without tuning finds less than with 5 epochs of it, and 10 find no "
    "more; 0, 1, 5, 10 epochs in NAS-Bench-201, retrained",
    "a figure: more than 5 epochs gain little (PT Figure 9)",
    ("tuning_0", "tuning_1", "tuning_5", "tuning_10"),
    _tunings,
    retrains=True,
  ),
}
