"""EnTranNAS-DST with lambda 0.1, on the images of claims/gap_darts.

Paper: EnTranNAS Table 4: 17, 17 and 27 edges for lambda 0.2, 0.1 and 0.05.

Command: jnas search --config claims/sparsity_10 --data.source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/sparsity_none, with thresholds."""
  return dataclasses.replace(
    config.load("claims/sparsity_none"),
    name="sparsity_10",
    method=config.MethodConfig(
      name="entrannas_dst",
      settings={"temperature_decay": 0.9, "sparsity_weight": 0.1},
    ),
  )
