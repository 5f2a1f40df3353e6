"""PT-Mag in S4: edge by edge by the mixing weights, its cell retrained.

Paper: PT Figure 6 has its trajectory; Table 3 does not have it.

Command: jnas claims P10-S4 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/s4_pt, decided by magnitude."""
  return dataclasses.replace(
    config.load("claims/s4_darts"),
    name="s4_pt_mag",
    selection=config.SelectionConfig(name="magnitude", tune_epochs=1),
  )
