"""The papers' claims at small scale, on real images: run, judged, tabulated.

A claim compares arms, each a config under `configs/claims`, over seeds. A
claim that does not hold here is reported like one that does.

Source: SPEC 5.
"""

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import rich.box
import rich.table

from jnas import config as configs
from jnas.pipeline import display, search
from jnas.training.metrics import MetricsFile

# Last epoch's record of each seed of an arm.
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
  """

  statement: str
  paper: str
  arms: tuple[str, ...]
  judge: Callable[[Mapping[str, Records]], Verdict]


def run(
  names: Sequence[str],
  *,
  source: str,
  seeds: Sequence[int],
  workdir: pathlib.Path,
  epochs: int | None,
) -> list[dict[str, Any]]:
  """Runs the arms of claims, or continues, and judges them.

  Args:
    names: of `CLAIMS`; all if there are none.
    source: the data, as `data.source`.
    seeds: each arm is run with each.
    workdir: holds a run folder for each arm and seed, and claims.json.
    epochs: instead of the configs'; None for theirs.

  Returns:
    A row for each claim: claim, statement, paper, ours, holds, seeds.

  Raises:
    ValueError: for a name that is unknown, before anything runs.
    stage.Stopped: if a signal asked to stop; the same command continues.
  """
  chosen = list(names) or list(CLAIMS)
  for name in chosen:
    if name not in CLAIMS:
      raise ValueError(
        f"unknown claim {name!r}; known claims: {', '.join(CLAIMS)}"
      )
  rows = []
  for name in chosen:
    claim = CLAIMS[name]
    records = {
      arm: [_last(arm, source, seed, workdir, epochs) for seed in seeds]
      for arm in claim.arms
    }
    verdict = claim.judge(records)
    rows.append(
      {
        "claim": name,
        "statement": claim.statement,
        "paper": claim.paper,
        "ours": verdict.ours,
        "holds": verdict.holds,
        "seeds": list(seeds),
      }
    )
  text = json.dumps(rows, indent=2) + "\n"
  (workdir / "claims.json").write_text(text, encoding="utf-8")
  return rows


def show(rows: Sequence[Mapping[str, Any]]) -> None:
  """Prints the table for people."""
  table = rich.table.Table(box=rich.box.SIMPLE, show_lines=True)
  for title in ("claim", "statement", "paper", "ours", "holds"):
    table.add_column(title)
  for row in rows:
    table.add_row(
      row["claim"],
      row["statement"],
      row["paper"],
      row["ours"],
      "yes" if row["holds"] else "no",
    )
  display.CONSOLE.print(table)


def _last(
  arm: str,
  source: str,
  seed: int,
  workdir: pathlib.Path,
  epochs: int | None,
) -> Mapping[str, Any]:
  """The last epoch's record of an arm's search."""
  config = configs.load(f"claims/{arm}")
  config = dataclasses.replace(
    config, seed=seed, data=dataclasses.replace(config.data, source=source)
  )
  if epochs is not None:
    config = dataclasses.replace(
      config, search=dataclasses.replace(config.search, epochs=epochs)
    )
  path = workdir / f"{arm}-s{seed}"
  search.run(configs.check(config), path)
  records = MetricsFile(path / "search" / "metrics.jsonl").read()
  return [record for record in records if record["kind"] == "epoch"][-1]


def _points(values: Sequence[float]) -> str:
  """Mean and deviation of shares, in points."""
  return _spread([100 * value for value in values])


def _spread(values: Sequence[float]) -> str:
  deviation = statistics.stdev(values) if len(values) > 1 else 0.0
  return f"{statistics.mean(values):.1f} +- {deviation:.1f}"


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
  "P11": Claim(
    "skip_connect outweighs sep_conv_3x3 on S2 in DARTS",
    "on 12 of 14 edges (PT Figure 2)",
    ("skips_s2",),
    _skips,
  ),
}
