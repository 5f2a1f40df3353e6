"""The papers' claims, and what has to be found for one to hold.

Source: SPEC 5.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

# The record of each seed of an arm, as `claims.record` makes it.
Records = Sequence[Mapping[str, Any]]


class Verdict(NamedTuple):
  """What was found.

  Attributes:
    ours: figures, mean and standard deviation over the seeds.
    holds: whether they bear the claim out.
  """

  ours: str
  holds: bool


class Claim(NamedTuple):
  """A published claim.

  Attributes:
    statement: what is claimed.
    paper: its figures.
    arms: names of configs, without "claims/".
    judge: `({arm: records}) -> Verdict`.
    retrains: whether the networks of the cells found are trained from scratch.
    needs_table: whether the cells found are looked up in NAS-Bench-201.
  """

  statement: str
  paper: str
  arms: tuple[str, ...]
  judge: Callable[[Mapping[str, Records]], Verdict]
  retrains: bool = False
  needs_table: bool = False


def _points(values: Sequence[float]) -> str:
  """Mean and deviation of shares, in points."""
  return _spread([100 * value for value in values])


def _spread(values: Sequence[float], *, digits: int = 1) -> str:
  deviation = statistics.stdev(values) if len(values) > 1 else 0.0
  return f"{statistics.mean(values):.{digits}f} +- {deviation:.{digits}f}"


def _field(records: Records, name: str) -> list[float]:
  return [record[name] for record in records]


def _entropy(records: Records) -> list[float]:
  return [statistics.mean(record["entropy"].values()) for record in records]


def _gap(records: Mapping[str, Records]) -> Verdict:
  darts = _field(records["gap_darts"], "gap")
  snas = _field(records["gap_snas"], "gap")
  larger = sum(a > b for a, b in zip(darts, snas, strict=True))
  small = statistics.mean(snas) <= 0.05
  return Verdict(
    f"DARTS {_points(darts)}, SNAS {_points(snas)} points; larger in {larger} "
    f"of {len(darts)} seeds",
    larger * 3 >= 2 * len(darts) and small,
  )


def _entropies(records: Mapping[str, Records]) -> Verdict:
  darts, snas = _entropy(records["gap_darts"]), _entropy(records["gap_snas"])
  return Verdict(
    f"DARTS {statistics.mean(darts):.3f}, SNAS {statistics.mean(snas):.3f} of "
    "the largest",
    statistics.mean(snas) < min(1.0, statistics.mean(darts)),
  )


def _levels(records: Mapping[str, Records]) -> Verdict:
  sizes = [
    _field(records[f"level_{level}"], "derived_params")
    for level in ("mild", "moderate", "aggressive")
  ]
  means = [statistics.mean(values) for values in sizes]
  shown = ", ".join(_spread([v / 1000 for v in values]) for values in sizes)
  return Verdict(
    f"{shown} thousand parameters", means == sorted(means, reverse=True)
  )


def _skips(records: Mapping[str, Records]) -> Verdict:
  shares = []
  for record in records["skips_s2"]:
    # Columns of S2: skip_connect, sep_conv_3x3.
    rows = [row for cell in record["mixing"].values() for row in cell]
    shares.append(sum(skip > conv for skip, conv in rows) / len(rows))
  return Verdict(
    f"on {_points(shares)} % of the edges", statistics.mean(shares) > 0.5
  )


def _engines(records: Mapping[str, Records]) -> Verdict:
  arms = ("all", "half", "last", "first")
  drops = {arm: _field(records[f"engine_{arm}"], "gap") for arm in arms}
  mean = {arm: statistics.mean(values) for arm, values in drops.items()}
  rest = max(mean["last"], mean["first"])
  return Verdict(
    ", ".join(f"{arm} {_points(drops[arm])}" for arm in arms) + " points",
    mean["all"] > mean["half"] > rest and rest <= 0.05,
  )


def _sparsities(records: Mapping[str, Records]) -> Verdict:
  counts = [
    [
      record["connections_normal"] + record["connections_reduce"]
      for record in records[f"sparsity_{tag}"]
    ]
    for tag in ("20", "10", "05")
  ]
  means = [statistics.mean(values) for values in counts]
  shown = ", ".join(_spread(values) for values in counts)
  return Verdict(f"{shown} connections", means == sorted(means))


def _structures(records: Mapping[str, Records]) -> Verdict:
  dst = _field(records["sparsity_20"], "gap")
  engine = _field(records["engine_first"], "gap")
  return Verdict(
    f"DST {_points(dst)}, EnTranNAS {_points(engine)} points",
    statistics.mean(dst) <= statistics.mean(engine) + 0.02,
  )


def _trajectories(records: Mapping[str, Records]) -> Verdict:
  perturbed, largest = (
    [statistics.mean(row["trajectory"]) for row in records[arm]]
    for arm in ("s4_pt", "s4_pt_mag")
  )
  higher = sum(a >= b for a, b in zip(perturbed, largest, strict=True))
  return Verdict(
    f"PT {_points(perturbed)}, PT-Mag {_points(largest)} % on average over "
    f"the decisions; higher in {higher} of {len(perturbed)} seeds",
    statistics.mean(perturbed) >= statistics.mean(largest),
  )


def _overfits(records: Mapping[str, Records]) -> Verdict:
  shown, excess = [], {}
  for name, arm in (
    ("gap, REBAR", "gap_rebar"),
    ("gap, Gumbel-softmax", "gap_gs"),
    ("valid, REBAR", "valid_rebar"),
    ("valid, Gumbel-softmax", "valid_gs"),
  ):
    rows = records[f"unas_{arm}"]
    found = [row["valid_loss"] - row["train_loss"] for row in rows]
    excess[arm] = statistics.mean(found)
    shown.append(
      f"{name}: {_spread(found, digits=2)}, retrained "
      f"{_points(_field(rows, 'test_accuracy'))} %"
    )
  return Verdict(
    "; ".join(shown),
    excess["gap_rebar"] <= excess["valid_rebar"]
    and excess["gap_gs"] <= excess["valid_gs"],
  )


def _duplicates(records: Mapping[str, Records]) -> Verdict:
  shares = {
    arm: [_share_of_duplicates(row["genotype"]) for row in records[arm]]
    for arm in ("unas_free", "unas_gap_rebar")
  }
  mean = {arm: statistics.mean(values) for arm, values in shares.items()}
  free, penalised = shares["unas_free"], shares["unas_gap_rebar"]
  return Verdict(
    f"{_points(free)} % without, {_points(penalised)} % with the penalty",
    mean["unas_gap_rebar"] < mean["unas_free"],
  )


def _share_of_duplicates(genotype: Mapping[str, Any]) -> float:
  """Nodes with the same pair of input and operation twice, of all nodes."""
  nodes = [
    [tuple(pair) for pair in node]
    for name in ("normal", "reduce")
    for node in genotype[name]["nodes"]
  ]
  return sum(len({*node}) < len(node) for node in nodes) / len(nodes)


def _best(values: Sequence[float]) -> str:
  return f"{_spread(values)} (best {max(values):.2f})"


def _benchmark(records: Mapping[str, Records]) -> Verdict:
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
  return Verdict(
    "; ".join(f"{name} {_best(values)}" for name, values in found.items())
    + " % on CIFAR-10 by the table",
    mean["DARTS"] < mean["DARTS+PT"] < mean["PT, frozen alpha"],
  )


def _robustness(space: str, wanted: str) -> Callable[..., Verdict]:
  """A judge of PT against magnitude in one of the spaces S1 to S4."""

  def judge(records: Mapping[str, Records]) -> Verdict:
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
      accuracies[arm] = _field(rows, "test_accuracy")
      shown.append(
        f"{name} {_points(accuracies[arm])} %, {_spread(counts[arm])} {wanted}"
      )
    mean = statistics.mean
    share = mean(counts["pt"]) - mean(counts["darts"])
    # Of noise as little as possible, of convolutions as many.
    fits = share <= 0 if wanted == "noise" else share >= 0
    close = mean(accuracies["pt"]) >= mean(accuracies["darts"]) - 0.01
    return Verdict("; ".join(shown), fits and close)

  return judge


CLAIMS = {
  "P1": Claim(
    "the child of SNAS keeps the supernet's accuracy, that of DARTS does not",
    "DARTS loses 33.0 points, SNAS gains 2.1 (SNAS Table 1)",
    ("gap_darts", "gap_snas"),
    _gap,
  ),
  "P2": Claim(
    "the architecture's entropy ends lower in SNAS than in DARTS",
    "qualitative (SNAS Figure 4)",
    ("gap_darts", "gap_snas"),
    _entropies,
  ),
  "P3": Claim(
    "a larger cost gives smaller derived networks",
    "2.9M, 2.8M, 2.3M parameters (SNAS Table 2)",
    ("level_mild", "level_moderate", "level_aggressive"),
    _levels,
  ),
  "P5": Claim(
    "the fewer Engine-cells, the smaller the loss of the child",
    "all 24.3, half 21.9, last 0.7, first 0.4 points (EnTranNAS Table 1)",
    ("engine_all", "engine_half", "engine_last", "engine_first"),
    _engines,
  ),
  "P8": Claim(
    "a larger lambda leaves fewer connections",
    "17, 17, 27 edges for 0.2, 0.1, 0.05 (EnTranNAS Table 4)",
    ("sparsity_20", "sparsity_10", "sparsity_05"),
    _sparsities,
  ),
  "P9": Claim(
    "a child of DST keeps the accuracy of its supernet as in EnTranNAS",
    "Kendall's tau 0.60 against 0.33 (EnTranNAS Figure 4)",
    ("sparsity_20", "engine_first"),
    _structures,
  ),
  "P10-S2": Claim(
    "PT keeps convolutions where magnitude falls for skips, on S2",
    "error DARTS 4.85, PT 2.79, frozen 2.59 % (PT Table 3)",
    ("s2_darts", "s2_pt", "s2_pt_frozen", "s2_pt_mag"),
    _robustness("s2", "sep_conv_3x3"),
    retrains=True,
  ),
  "P10-S4": Claim(
    "PT avoids noise where magnitude picks it, on S4",
    "error DARTS 7.20, PT 2.64, frozen 2.58 % (PT Table 3)",
    ("s4_darts", "s4_pt", "s4_pt_frozen", "s4_pt_mag"),
    _robustness("s4", "noise"),
    retrains=True,
  ),
  "P11": Claim(
    "skip_connect outweighs sep_conv_3x3 on S2 in DARTS",
    "on 12 of 14 edges (PT Figure 2)",
    ("skips_s2",),
    _skips,
  ),
  "P12": Claim(
    "the supernet stays better while PT decides than while PT-Mag does, on S4",
    "a figure (PT Figure 6)",
    ("s4_pt", "s4_pt_mag"),
    _trajectories,
  ),
  "P13": Claim(
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
  "P17": Claim(
    "the validation loss exceeds the training loss by less where the search "
    "minimises the generalisation gap",
    "ImageNet error 24.64 against 26.06 % (UNAS Table 2); loss in Figure 4",
    ("unas_gap_rebar", "unas_gap_gs", "unas_valid_rebar", "unas_valid_gs"),
    _overfits,
    retrains=True,
  ),
  "P19": Claim(
    "the penalty leaves fewer nodes that have one pair twice",
    "qualitative (UNAS Section 4)",
    ("unas_free", "unas_gap_rebar"),
    _duplicates,
  ),
}
