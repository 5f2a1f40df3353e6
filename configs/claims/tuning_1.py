"""PT in NAS-Bench-201, one epoch of tuning after each decision.

Paper: PT Figure 9.

Command: jnas claims P15 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/tuning_5, with one epoch."""
  base = config.load("claims/tuning_5")
  return dataclasses.replace(
    base,
    name="tuning_1",
    selection=dataclasses.replace(base.selection, tune_epochs=1),
  )
