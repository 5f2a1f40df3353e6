"""Random search in NAS-Bench-201, small.

Paper: none; beside PT Table 4.

Command: jnas claims P13 --source npz:PATH --table PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """The best of 4 random cells, each trained for 8 epochs."""
  base = config.load("claims/benchmark_pt")
  return dataclasses.replace(
    base,
    name="benchmark_random",
    method=config.MethodConfig(name="random", settings={"num_candidates": 4}),
    search=dataclasses.replace(base.search, epochs=8),
    selection=config.SelectionConfig(),
  )
