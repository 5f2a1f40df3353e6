"""DARTS with perturbation-based selection in S4, its cell retrained.

Paper: PT Table 3, 2.64 % error.

Command: jnas claims P10-S4 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/s4_darts; an epoch of tuning after each decision."""
  return dataclasses.replace(
    config.load("claims/s4_darts"),
    name="s4_pt",
    selection=config.SelectionConfig(name="perturbation", tune_epochs=1),
  )
