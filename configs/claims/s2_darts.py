"""DARTS in S2, its cell retrained.

Paper: PT Table 3, 4.85 % error; Figure 2, skip_connect outweighs sep_conv_3x3
on 12 of 14 edges.

Command: jnas claims P10-S2 P11 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/gap_darts, in S2; 8 cells of 8 channels, 10 epochs after."""
  base = config.load("claims/gap_darts")
  return dataclasses.replace(
    base,
    name="s2_darts",
    space="s2",
    evaluate=dataclasses.replace(
      base.evaluate, cells=8, channels=8, epochs=10, batch_size=64
    ),
  )
