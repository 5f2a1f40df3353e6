"""SDARTS-RS, CIFAR-10: weights trained under random noise.

Paper: PT Table 2, 2.67 +- 0.03 % error.

Command: jnas run --config configs/sdarts_rs_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """As darts_cifar10, with perturbed mixing weights."""
  return config.Config(
    name="sdarts_rs_cifar10",
    method=config.MethodConfig(name="sdarts_rs"),
    data=config.DataConfig(source="cifar10"),
  )
