"""Every cell mixes 12 operations on each edge.

Paper: EnTranNAS Table 6: 0.07 GPU-days, 0.06 with 7 operations.

Command: jnas claims P7 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/savings_none, 12 operations instead of 7."""
  return dataclasses.replace(
    config.load("claims/savings_none"),
    name="savings_none_12ops",
    space="darts_extended",
  )
