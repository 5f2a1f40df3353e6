"""How much the estimators of UNAS's gradient vary.

Source: UNAS (arXiv:1912.07651), Secs. 2 and 3.1; SPEC 5, P16.
"""

import pathlib
from typing import Any

from jnas import config as configs
from jnas.pipeline import estimators, problem

_NUM_EPOCHS = 2


def variances(config: configs.Config, path: pathlib.Path) -> dict[str, Any]:
  """Variance of the gradient of the architecture by three estimators.

  Args:
    config: of a search by UNAS, of which the weights are trained for two
      epochs here, under the first architecture.
    path: the run folder; nothing is needed there.

  Returns:
    For each estimator the sum of the variances of the coordinates.
  """
  del path
  found = problem.prepare(config)
  rows = estimators.measure(
    found,
    ("REBAR", "REINFORCE", estimators.NO_BASELINE),
    draws=estimators.NUM_DRAWS,
    weight_steps=_NUM_EPOCHS * found.num_train // config.search.batch_size,
  )
  return {row["estimator"]: row["variance"] for row in rows}
