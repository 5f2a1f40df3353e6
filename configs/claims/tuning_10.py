"""PT in NAS-Bench-201, 10 epochs of tuning after each decision.

Paper: PT Figure 9.

Command: jnas claims P15 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/tuning_5, tuned for twice as long."""
  base = config.load("claims/tuning_5")
  return dataclasses.replace(
    base,
    name="tuning_10",
    selection=dataclasses.replace(base.selection, tune_epochs=10),
  )
