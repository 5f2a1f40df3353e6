"""UNAS's claims.

Source: UNAS (arXiv:1912.07651); SPEC 5.
"""

import statistics
from collections.abc import Mapping
from typing import Any

from jnas.pipeline import estimators
from jnas.pipeline.measures import toy_latency, variance
from jnas.pipeline.verdicts import base


def _overfits(records: Mapping[str, base.Records]) -> base.Verdict:
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
      f"{name}: {base.spread(found, digits=2)}, retrained "
      f"{base.points(base.field(rows, 'test_accuracy'))} %"
    )
  return base.Verdict(
    "; ".join(shown),
    excess["gap_rebar"] <= excess["valid_rebar"]
    and excess["gap_gs"] <= excess["valid_gs"],
  )


def _duplicates(records: Mapping[str, base.Records]) -> base.Verdict:
  shares = {
    arm: [_share_of_duplicates(row["genotype"]) for row in records[arm]]
    for arm in ("unas_free", "unas_gap_rebar")
  }
  mean = {arm: statistics.mean(values) for arm, values in shares.items()}
  free, penalised = shares["unas_free"], shares["unas_gap_rebar"]
  return base.Verdict(
    f"{base.points(free)} % without, {base.points(penalised)} % with the "
    "penalty",
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


def _variances(records: Mapping[str, base.Records]) -> base.Verdict:
  rows = records["unas_gap_rebar"]
  mean = {
    name: statistics.mean(base.field(rows, name))
    for name in ("REBAR", "REINFORCE", estimators.NO_BASELINE)
  }
  rebar = mean["REBAR"]
  return base.Verdict(
    f"REBAR {rebar:.3g}; without baseline {mean[estimators.NO_BASELINE]:.3g}, "
    f"with the moving one {mean['REINFORCE']:.3g} (not judged)",
    rebar < mean[estimators.NO_BASELINE],
  )


def _latencies(records: Mapping[str, base.Records]) -> base.Verdict:
  best = min(toy_latency.LATENCIES)
  expected = {
    arm: base.field(records[arm], "expected")
    for arm in ("relax", "gumbel_softmax")
  }
  reached = {
    arm: [row["chosen"] == best for row in records[arm]] for arm in expected
  }
  relax, softmax = expected["relax"], expected["gumbel_softmax"]
  return base.Verdict(
    f"RELAX {base.spread(relax, digits=2)}, Gumbel-softmax "
    f"{base.spread(softmax, digits=2)}; the least is {best:.2f}",
    all(reached["relax"]) and not any(reached["gumbel_softmax"]),
  )


CLAIMS = {
  "P17": base.Claim(
    "the validation loss exceeds the training loss by less where the search "
    "minimises the generalisation gap",
    "ImageNet error 24.64 against 26.06 % (UNAS Table 2); loss in Figure 4",
    ("unas_gap_rebar", "unas_gap_gs", "unas_valid_rebar", "unas_valid_gs"),
    _overfits,
    retrains=True,
  ),
  "P19": base.Claim(
    "the penalty leaves fewer nodes that have one pair twice",
    "qualitative (UNAS Section 4)",
    ("unas_free", "unas_gap_rebar"),
    _duplicates,
  ),
  "P16": base.Claim(
    "REBAR's gradient varies less than REINFORCE's without a baseline",
    "a statement (UNAS Section 3.1)",
    ("unas_gap_rebar",),
    _variances,
    measures={"unas_gap_rebar": variance.variances},
  ),
  "P18": base.Claim(
    "RELAX finds the least latency through a surrogate that is wrong, "
    "Gumbel-softmax does not (toy: 9 pairs)",
    "a statement (UNAS Section 3.1)",
    (),
    _latencies,
    toys={
      "relax": toy_latency.relax,
      "gumbel_softmax": toy_latency.gumbel_softmax,
    },
  ),
}
