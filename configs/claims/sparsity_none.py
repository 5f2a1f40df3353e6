"""EnTranNAS without thresholds, beside claims/sparsity_20.

Paper: EnTranNAS Figure 4, Kendall's tau 0.33 against 0.60 of DST.

Command: jnas search --config claims/sparsity_none --data.source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/gap_darts, without `none`, annealed softmax, one Engine-cell."""
  base = config.load("claims/gap_darts")
  return dataclasses.replace(
    base,
    name="sparsity_none",
    space="darts_no_none",
    method=config.MethodConfig(
      name="entrannas", settings={"temperature_decay": 0.9}
    ),
    supernet=config.SupernetConfig(engine="first"),
  )
