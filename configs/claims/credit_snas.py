"""SNAS without a cost: credit and log alpha, step by step.

Paper: SNAS Section 2.3.

Command: jnas claims P4 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/gap_snas, 10 epochs of 31 steps."""
  base = config.load("claims/gap_snas")
  return dataclasses.replace(
    base,
    name="credit_snas",
    search=dataclasses.replace(base.search, epochs=10),
  )
