"""DARTS, second order, CIFAR-10: the paper's full setting.

Paper: DARTS Table 1, 2.76 +- 0.09 % error, 3.3M parameters, 4 GPU-days.
Differs from the paper: the Hessian-vector product is exact; the paper's finite
difference is `--search.hessian finite_difference`.

Command: jnas run --config configs/darts_second_order_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """As darts_cifar10, through a virtual step of the weights."""
  return config.Config(
    name="darts_second_order_cifar10",
    data=config.DataConfig(source="cifar10"),
    search=config.SearchConfig(scheme="second_order"),
  )
