"""SDARTS-RS with perturbation-based selection, CIFAR-10.

Paper: PT Table 2, 2.54 +- 0.10 % error, 3.2M parameters.

Command: jnas run --config configs/pt_sdarts_rs_cifar10.py
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As sdarts_rs_cifar10, selected by PT."""
  base = config.load("sdarts_rs_cifar10")
  return dataclasses.replace(
    base,
    name="pt_sdarts_rs_cifar10",
    space="darts_no_none",
    selection=config.SelectionConfig(name="perturbation"),
  )
