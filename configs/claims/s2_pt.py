"""DARTS with perturbation-based selection in S2, its cell retrained.

Paper: PT Table 3, 2.79 % error.

Command: jnas claims P10-S2 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/s2_darts; an epoch of tuning after each decision."""
  return dataclasses.replace(
    config.load("claims/s2_darts"),
    name="s2_pt",
    selection=config.SelectionConfig(name="perturbation", tune_epochs=1),
  )
