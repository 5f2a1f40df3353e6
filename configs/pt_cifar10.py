"""DARTS with perturbation-based selection, CIFAR-10: the paper's setting.

Paper: PT Table 2, 2.61 +- 0.08 % error on average, 3.0M parameters, 0.8
GPU-days.

Command: jnas run --config configs/pt_cifar10.py
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """81 epochs of tuning between the decisions."""
  base = config.load("darts_cifar10")
  return dataclasses.replace(
    base,
    name="pt_cifar10",
    space="darts_no_none",
    selection=config.SelectionConfig(name="perturbation"),
  )
