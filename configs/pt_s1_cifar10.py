"""DARTS with perturbation-based selection in S1, CIFAR-10.

Paper: PT Table 3, 3.50 % error, and 2.86 % with alpha fixed.

Command: jnas run --config configs/pt_s1_cifar10.py
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As darts_s1_cifar10, selected by PT."""
  base = config.load("darts_s1_cifar10")
  return dataclasses.replace(
    base,
    name="pt_s1_cifar10",
    selection=config.SelectionConfig(name="perturbation"),
  )
