"""SNAS with the aggressive resource constraint, CIFAR-10: the paper's setting.

Paper: SNAS Table 2, 3.10 +- 0.04 % error, 2.3M parameters; search 1.5 GPU-days.
Differs from the paper: the weight of the cost is ours (SPEC 7, U1), and 5,000
images are held out for validation (D5).

Command: jnas run --config configs/snas_aggressive_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """8 cells of 16 channels, 150 epochs, one sample a batch."""
  return config.Config(
    name="snas_aggressive_cifar10",
    method=config.MethodConfig(name="snas", settings={"level": "aggressive"}),
    data=config.DataConfig(source="cifar10", valid_fraction=0.1),
    search=config.SearchConfig(epochs=150),
  )
