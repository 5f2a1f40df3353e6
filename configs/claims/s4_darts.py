"""DARTS in S4, its cell retrained.

Paper: PT Table 3, 7.20 % error.

Command: jnas claims P10-S4 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/gap_darts, in S4; 8 cells of 8 channels, 10 epochs after."""
  base = config.load("claims/gap_darts")
  return dataclasses.replace(
    base,
    name="s4_darts",
    space="s4",
    evaluate=dataclasses.replace(
      base.evaluate, cells=8, channels=8, epochs=10, batch_size=64
    ),
  )
