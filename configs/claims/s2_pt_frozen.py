"""Uniform alpha with perturbation-based selection in S2, small.

Paper: PT Table 3, 2.59 % error.

Command: jnas claims P10-S2 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/s2_pt, with an architecture that never moves."""
  base = config.load("claims/s2_pt")
  return dataclasses.replace(
    base,
    name="s2_pt_frozen",
    method=config.MethodConfig(name="darts", settings={"init_scale": 0.0}),
    search=dataclasses.replace(base.search, scheme="frozen"),
  )
