"""EnTranNAS with shared features too.

Paper: EnTranNAS Table 3, the third row: 2.6 GB, 0.09 GPU-days.

Command: jnas claims P6 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/savings_engine, features shared."""
  base = config.load("claims/savings_engine")
  return dataclasses.replace(
    base,
    name="savings_sharing",
    supernet=dataclasses.replace(base.supernet, share_features=True),
  )
