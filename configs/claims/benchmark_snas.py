"""SNAS in NAS-Bench-201, small.

Paper: none; beside PT Table 4.

Command: jnas claims P13 --source npz:PATH --table PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/benchmark_pt, one concrete sample a batch, no cost."""
  base = config.load("claims/benchmark_pt")
  return dataclasses.replace(
    base,
    name="benchmark_snas",
    method=config.MethodConfig(name="snas"),
    search=dataclasses.replace(base.search, arch_lr=2e-2),
    selection=config.SelectionConfig(),
  )
