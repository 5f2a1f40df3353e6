"""SNAS's claims.

Source: SNAS (arXiv:1812.09926); SPEC 5.
"""

import statistics
from collections.abc import Mapping

from jnas.pipeline.measures import credit
from jnas.pipeline.verdicts import base


def _gap(records: Mapping[str, base.Records]) -> base.Verdict:
  darts = base.field(records["gap_darts"], "gap")
  snas = base.field(records["gap_snas"], "gap")
  larger = sum(a > b for a, b in zip(darts, snas, strict=True))
  small = statistics.mean(snas) <= 0.05
  return base.Verdict(
    f"DARTS {base.points(darts)}, SNAS {base.points(snas)} points; "
    f"larger in {larger} of {len(darts)} seeds",
    larger * 3 >= 2 * len(darts) and small,
  )


def _entropy(records: base.Records) -> list[float]:
  return [statistics.mean(record["entropy"].values()) for record in records]


def _entropies(records: Mapping[str, base.Records]) -> base.Verdict:
  darts, snas = _entropy(records["gap_darts"]), _entropy(records["gap_snas"])
  return base.Verdict(
    f"DARTS {statistics.mean(darts):.3f}, SNAS {statistics.mean(snas):.3f} of "
    "the largest",
    statistics.mean(snas) < min(1.0, statistics.mean(darts)),
  )


def _levels(records: Mapping[str, base.Records]) -> base.Verdict:
  sizes = [
    base.field(records[f"level_{level}"], "derived_params")
    for level in ("mild", "moderate", "aggressive")
  ]
  means = [statistics.mean(values) for values in sizes]
  shown = ", ".join(base.spread([v / 1000 for v in values]) for values in sizes)
  return base.Verdict(
    f"{shown} thousand parameters", means == sorted(means, reverse=True)
  )


def _credits(records: Mapping[str, base.Records]) -> base.Verdict:
  steps = base.field(records["credit_snas"], "by_step")
  whole = base.field(records["credit_snas"], "by_search")
  return base.Verdict(
    f"correlation {base.spread(steps, digits=2)} over steps, "
    f"{base.spread(whole, digits=2)} over the whole search",
    statistics.mean(steps) > 0,
  )


CLAIMS = {
  "P1": base.Claim(
    "the child of SNAS keeps the supernet's accuracy, that of DARTS does not",
    "DARTS loses 33.0 points, SNAS gains 2.1 (SNAS Table 1)",
    ("gap_darts", "gap_snas"),
    _gap,
  ),
  "P2": base.Claim(
    "the architecture's entropy ends lower in SNAS than in DARTS",
    "qualitative (SNAS Figure 4)",
    ("gap_darts", "gap_snas"),
    _entropies,
  ),
  "P3": base.Claim(
    "a larger cost gives smaller derived networks",
    "2.9M, 2.8M, 2.3M parameters (SNAS Table 2)",
    ("level_mild", "level_moderate", "level_aggressive"),
    _levels,
  ),
  "P4": base.Claim(
    "the operations that get credit gain probability in SNAS",
    "qualitative (SNAS Section 2.3)",
    ("credit_snas",),
    _credits,
    measures={"credit_snas": credit.credits},
  ),
}
