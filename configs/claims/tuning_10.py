"""PT in NAS-Bench-201, 10 epochs of tuning after each decision.

Paper: PT Figure 9.

Command: jnas claims P15 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/benchmark_pt, 10 epochs, and 10 of training what is found."""
  base = config.load("claims/benchmark_pt")
  return dataclasses.replace(
    base,
    name="tuning_10",
    search=dataclasses.replace(base.search, epochs=10),
    selection=dataclasses.replace(base.selection, tune_epochs=10),
    evaluate=dataclasses.replace(base.evaluate, epochs=10, batch_size=64),
  )
