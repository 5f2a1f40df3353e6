"""Uniform alpha with perturbation-based selection in NAS-Bench-201, small.

Paper: PT Table 4, CIFAR-10 accuracy 93.80 %.

Command: jnas claims P13 --source npz:PATH --table PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/benchmark_pt, with an architecture that never moves."""
  base = config.load("claims/benchmark_pt")
  return dataclasses.replace(
    base,
    name="benchmark_pt_frozen",
    method=config.MethodConfig(name="darts", settings={"init_scale": 0.0}),
    search=dataclasses.replace(base.search, scheme="frozen"),
  )
