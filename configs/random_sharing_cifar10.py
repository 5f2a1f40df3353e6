"""Random search with shared weights, CIFAR-10.

Paper: Li and Talwalkar (arXiv:1902.07638) Table 4, 2.85 +- 0.08 % error.

Command: jnas run --config configs/random_sharing_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """A new random cell at every step; the best of many is selected."""
  return config.Config(
    name="random_sharing_cifar10",
    space="darts_no_none",
    method=config.MethodConfig(name="random_sharing"),
    data=config.DataConfig(source="cifar10"),
    selection=config.SelectionConfig(name="sampled"),
  )
