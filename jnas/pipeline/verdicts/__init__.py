"""The papers' claims, and what has to be found for one to hold.

Source: SPEC 5.
"""

import re

from jnas.pipeline.verdicts import (
  darts,
  entrannas,
  perturbation,
  snas,
  unas,
)
from jnas.pipeline.verdicts.base import Claim, Measure, Records, Verdict

__all__ = ["CLAIMS", "Claim", "Measure", "Records", "Verdict"]


def _order(name: str) -> tuple[int, str]:
  """P2 before P10-S2."""
  number = re.search(r"\d+", name)
  return int(number[0]) if number else 0, name


_BY_PAPER = {
  name: claim
  for paper in (darts, snas, entrannas, perturbation, unas)
  for name, claim in paper.CLAIMS.items()
}

CLAIMS: dict[str, Claim] = {
  name: _BY_PAPER[name] for name in sorted(_BY_PAPER, key=_order)
}
