"""DARTS, first order, on 10,000 images of CIFAR-10, for two CPU cores.

Paper: none; a small check on real images.

Command: jnas run --config configs/darts_cifar10_small.py
  --data.source npz:../shared/data/cifar10.npz
"""

from jnas import config


def get_config() -> config.Config:
  """5 cells of 8 channels, few epochs."""
  return config.Config(
    name="darts_cifar10_small",
    data=config.DataConfig(source="cifar10", limit=10_000),
    search=config.SearchConfig(cells=5, channels=8, epochs=2, arch_lr=3e-3),
    evaluate=config.EvaluateConfig(
      cells=5,
      channels=16,
      epochs=6,
      batch_size=64,
      lr=0.05,
      cutout=0,
      drop_path=0.0,
      auxiliary_weight=0.0,
      random_baselines=0,
    ),
  )
