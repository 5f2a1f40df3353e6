"""GDAS, CIFAR-10: one operation drawn on each edge.

Paper: GDAS (arXiv:1910.04465) Table 1, 2.93 % error, 3.4M parameters, 0.21
GPU-days.
Differs from the paper: the normal and the reduction cell are both searched.

Command: jnas run --config configs/gdas_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """250 epochs, temperature 10 to 0.1."""
  return config.Config(
    name="gdas_cifar10",
    method=config.MethodConfig(name="gdas"),
    data=config.DataConfig(source="cifar10"),
    search=config.SearchConfig(epochs=250, lr_min=0.001),
  )
