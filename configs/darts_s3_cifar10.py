"""DARTS in the space S3 of RobustDARTS, CIFAR-10.

Paper: PT Table 3, 3.34 % error.

Command: jnas run --config configs/darts_s3_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """As darts_cifar10, in s3."""
  return config.Config(
    name="darts_s3_cifar10",
    space="s3",
    data=config.DataConfig(source="cifar10"),
  )
