"""PT-Mag in S2: edge by edge by the mixing weights, its cell retrained.

Paper: PT Figure 6 has its trajectory; Table 3 does not have it.

Command: jnas claims P10-S2 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/s2_pt, decided by magnitude."""
  return dataclasses.replace(
    config.load("claims/s2_darts"),
    name="s2_pt_mag",
    selection=config.SelectionConfig(name="magnitude", tune_epochs=1),
  )
