"""DARTS in the space S4 of RobustDARTS, CIFAR-10.

Paper: PT Table 3, 7.20 % error.

Command: jnas run --config configs/darts_s4_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """As darts_cifar10, in s4."""
  return config.Config(
    name="darts_s4_cifar10",
    space="s4",
    data=config.DataConfig(source="cifar10"),
  )
