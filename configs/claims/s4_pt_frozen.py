"""Uniform alpha with perturbation-based selection in S4, small.

Paper: PT Table 3, 2.58 % error.

Command: jnas claims P10-S4 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/s4_pt, with an architecture that never moves."""
  base = config.load("claims/s4_pt")
  return dataclasses.replace(
    base,
    name="s4_pt_frozen",
    method=config.MethodConfig(name="darts", settings={"init_scale": 0.0}),
    search=dataclasses.replace(base.search, scheme="frozen"),
  )
