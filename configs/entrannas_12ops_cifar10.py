"""EnTranNAS with 12 operations, CIFAR-10.

Paper: EnTranNAS Table 6, 2.22 +- 0.05 % error, 7.68M parameters, 0.07 GPU-days.

Command: jnas run --config configs/entrannas_12ops_cifar10.py
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As entrannas_cifar10, with 12 operations on each edge."""
  return dataclasses.replace(
    config.load("entrannas_cifar10"),
    name="entrannas_12ops_cifar10",
    space="darts_extended",
  )
