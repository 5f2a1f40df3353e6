"""DARTS with perturbation-based selection in NAS-Bench-201.

Paper: PT Table 4, 11.89 % error of the cell found.

Command: jnas run --config configs/pt_nasbench201.py
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """25 epochs of tuning between the six decisions."""
  base = config.load("darts_nasbench201")
  return dataclasses.replace(
    base,
    name="pt_nasbench201",
    selection=config.SelectionConfig(name="perturbation"),
  )
