"""SNAS with the aggressive cost, on the images of claims/gap_darts.

Paper: SNAS Table 2: 2.9M, 2.8M and 2.3M parameters from mild to aggressive.

Command: jnas search --config claims/level_aggressive --data.source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/gap_snas, with a aggressive cost, 20 epochs."""
  base = config.load("claims/gap_darts")
  return dataclasses.replace(
    base,
    name="level_aggressive",
    method=config.MethodConfig(name="snas", settings={"level": "aggressive"}),
    search=dataclasses.replace(base.search, epochs=20, arch_lr=2e-2),
  )
