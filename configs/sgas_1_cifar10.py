"""SGAS with criterion 1, CIFAR-10.

Paper: PT Table 2 for criterion 1, 2.66 +- 0.24 % error; SGAS
(arXiv:1912.00195) for both.
Differs from the paper: the batch does not grow with the decisions.

Command: jnas run --config configs/sgas_1_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """An edge of each cell type is decided at epochs 9, 14, ..., 44."""
  return config.Config(
    name="sgas_1_cifar10",
    method=config.MethodConfig(name="sgas", settings={"criterion": 1}),
    data=config.DataConfig(source="cifar10"),
  )
