"""DARTS in the space S1 of RobustDARTS, CIFAR-10.

Paper: PT Table 3, 3.84 % error.

Command: jnas run --config configs/darts_s1_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """As darts_cifar10, in s1."""
  return config.Config(
    name="darts_s1_cifar10",
    space="s1",
    data=config.DataConfig(source="cifar10"),
  )
