"""DARTS's claims.

Source: DARTS (arXiv:1806.09055); SPEC 5.
"""

from collections.abc import Mapping

from jnas.pipeline.verdicts import base


def _orders(records: Mapping[str, base.Records]) -> base.Verdict:
  first, second = (
    base.field(records[f"order_{order}"], "test_accuracy")
    for order in ("first", "second")
  )
  return base.Verdict(
    f"accuracy {base.points(first)} % first, {base.points(second)} % second",
    None,  # too small a difference for so small a scale
  )


CLAIMS = {
  "P20": base.Claim(
    "second-order DARTS finds as good cells as first-order or better",
    "error 3.00 % first, 2.76 % second order (DARTS Table 1)",
    ("order_first", "order_second"),
    _orders,
    retrains=True,
  ),
}
