"""DARTS, first order, CIFAR-10: the paper's full setting.

Paper: DARTS Table 1, 3.00 +- 0.14 % error, 3.3M parameters, 1.5 GPU-days.
Differs from the paper: nothing known. The supernet has 1,930,618 parameters.

Command: jnas run --config configs/darts_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """8 cells of 16 channels for 50 epochs; then 20 of 36 for 600."""
  return config.Config(
    name="darts_cifar10", data=config.DataConfig(source="cifar10")
  )
