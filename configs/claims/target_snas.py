"""SNAS with a target instead of a level, on the images of claims/gap_darts.

Paper: none; SNAS tunes the weight of its cost by hand.

Command: jnas search --config claims/target_snas --data.source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/gap_snas; the cost adapts to a target of 15,000 parameters."""
  base = config.load("claims/gap_snas")
  return dataclasses.replace(
    base,
    name="target_snas",
    method=config.MethodConfig(
      name="snas", settings={"target_params": 15_000.0, "estimator": "reparam"}
    ),
    search=dataclasses.replace(base.search, epochs=20),
  )
