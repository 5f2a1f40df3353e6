"""Uniform alpha with perturbation-based selection in NAS-Bench-201.

Paper: PT Table 4, 6.20 % error of the cell found.

Command: jnas run --config configs/pt_frozen_nasbench201.py
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """The architecture never moves; PT alone decides."""
  base = config.load("darts_nasbench201")
  return dataclasses.replace(
    base,
    name="pt_frozen_nasbench201",
    method=config.MethodConfig(name="darts", settings={"init_scale": 0.0}),
    search=dataclasses.replace(base.search, scheme="frozen"),
    selection=config.SelectionConfig(name="perturbation"),
  )
