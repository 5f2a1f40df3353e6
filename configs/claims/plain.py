"""A plain stack of convolutions, for what it loses when layers are exchanged.

Paper: PT Table 1, VGG 92.69 % before, 9.83 % after.

Command: jnas claims P14 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """The images of claims/gap_darts; 4 cells of 4 layers, 8 channels."""
  base = config.load("claims/gap_darts")
  return dataclasses.replace(
    base,
    name="plain",
    evaluate=dataclasses.replace(
      base.evaluate, channels=8, epochs=40, batch_size=64
    ),
  )
