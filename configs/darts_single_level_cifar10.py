"""DARTS in a single level, CIFAR-10.

Paper: DARTS Sec. 3.3, weights and architecture on the same images: 3.56 +- 0.10
% error, 3.0M parameters.

Command: jnas run --config configs/darts_single_level_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """Both are fitted to the training images; a tenth is held out."""
  return config.Config(
    name="darts_single_level_cifar10",
    data=config.DataConfig(source="cifar10", valid_fraction=0.1),
    search=config.SearchConfig(scheme="single_level"),
  )
