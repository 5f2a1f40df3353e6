"""SNAS on the images of claims/gap_darts: the gap after derivation.

Paper: SNAS Table 1, supernet 88.54 %, child with inherited weights 90.67 %.

Command: jnas search --config claims/gap_snas --data.source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/gap_darts, one concrete sample a batch, no cost."""
  base = config.load("claims/gap_darts")
  return dataclasses.replace(
    base,
    name="gap_snas",
    method=config.MethodConfig(name="snas"),
    search=dataclasses.replace(base.search, arch_lr=2e-2),
  )
