"""DARTS with perturbation-based selection in S2, CIFAR-10.

Paper: PT Table 3, 2.79 % error, and 2.59 % with alpha fixed.

Command: jnas run --config configs/pt_s2_cifar10.py
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As darts_s2_cifar10, selected by PT."""
  base = config.load("darts_s2_cifar10")
  return dataclasses.replace(
    base,
    name="pt_s2_cifar10",
    selection=config.SelectionConfig(name="perturbation"),
  )
