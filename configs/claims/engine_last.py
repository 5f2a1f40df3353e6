"""EnTranNAS with engine last, on the images of claims/gap_darts.

Paper: EnTranNAS Table 1: the child loses 24.3, 21.9, 0.7 and 0.4 points with
all, half, the last and the first cells as Engine-cells. Eight cells, as there:
of four, half are the first of each type.

Command: jnas search --config claims/engine_last --data.source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """8 cells, 25 epochs; without `none`, annealed as far as sparsity_none."""
  base = config.load("claims/gap_darts")
  return dataclasses.replace(
    base,
    name="engine_last",
    space="darts_no_none",
    method=config.MethodConfig(
      name="entrannas", settings={"temperature_decay": 0.85}
    ),
    search=dataclasses.replace(base.search, cells=8, epochs=25),
    supernet=config.SupernetConfig(engine="last"),
  )
