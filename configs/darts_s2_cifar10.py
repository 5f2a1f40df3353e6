"""DARTS in the space S2 of RobustDARTS, CIFAR-10.

Paper: PT Table 3, 4.85 % error.

Command: jnas run --config configs/darts_s2_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """As darts_cifar10, in s2."""
  return config.Config(
    name="darts_s2_cifar10",
    space="s2",
    data=config.DataConfig(source="cifar10"),
  )
