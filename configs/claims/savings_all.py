"""EnTranNAS with all its savings.

Paper: EnTranNAS Table 3, the last row: 1.5 GB, 0.06 GPU-days.

Command: jnas claims P6 P7 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/savings_sharing, a quarter of the channels inside."""
  base = config.load("claims/savings_sharing")
  return dataclasses.replace(
    base,
    name="savings_all",
    supernet=dataclasses.replace(base.supernet, bottleneck=4),
  )
