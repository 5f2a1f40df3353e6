"""DARTS in NAS-Bench-201, CIFAR-10.

Paper: PT Table 4, 45.7 % error of the cell found (the benchmark's numbers).

Command: jnas run --config configs/darts_nasbench201.py
"""

from jnas import config


def get_config() -> config.Config:
  """15 cells of 16 channels, 100 epochs."""
  return config.Config(
    name="darts_nasbench201",
    space="nasbench201",
    data=config.DataConfig(source="cifar10"),
    search=config.SearchConfig(cells=15, channels=16, epochs=100),
    evaluate=config.EvaluateConfig(
      cells=15,
      channels=16,
      epochs=200,
      batch_size=256,
      lr=0.1,
      weight_decay=5e-4,
      cutout=0,
      drop_path=0.0,
      auxiliary_weight=0.0,
    ),
  )
