"""EnTranNAS with Engine and Transit cells alone.

Paper: EnTranNAS Table 3, the second row: 4.5 GB.

Command: jnas claims P6 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/savings_none, the first cell of each type an Engine-cell."""
  base = config.load("claims/savings_none")
  return dataclasses.replace(
    base,
    name="savings_engine",
    supernet=dataclasses.replace(base.supernet, engine="first"),
  )
