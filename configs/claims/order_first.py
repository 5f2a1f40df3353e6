"""DARTS, first order, its cells retrained.

Paper: DARTS Table 1, 3.00 % error.

Command: jnas claims P20 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/gap_darts, 10 epochs; 4 cells of 8 channels, 10 epochs after."""
  base = config.load("claims/gap_darts")
  return dataclasses.replace(
    base,
    name="order_first",
    search=dataclasses.replace(base.search, epochs=10),
    evaluate=dataclasses.replace(
      base.evaluate, channels=8, epochs=10, batch_size=64
    ),
  )
