"""EnTranNAS without its savings: every cell mixes all operations.

Paper: EnTranNAS Table 3, the first row: 9.0 GB, 0.73 GPU-days.

Command: jnas claims P6 P7 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """The images of claims/gap_darts, 6 cells of 16 channels, batches of 64."""
  base = config.load("claims/gap_darts")
  return dataclasses.replace(
    base,
    name="savings_none",
    space="darts_no_none",
    method=config.MethodConfig(name="entrannas"),
    search=dataclasses.replace(base.search, cells=6, channels=16),
  )
