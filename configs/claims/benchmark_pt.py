"""DARTS with perturbation-based selection in NAS-Bench-201, small.

Paper: PT Table 4, CIFAR-10 accuracy 54.3 % before, 88.11 % after selection.

Command: jnas claims P13 --source npz:PATH --table PATH
"""

from jnas import config


def get_config() -> config.Config:
  """3 cells of 8 channels, 16x16 images, 20 epochs of 31 steps."""
  return config.Config(
    name="benchmark_pt",
    space="nasbench201",
    data=config.DataConfig(
      source="cifar10",
      limit=4_000,
      test_limit=1_000,
      image_size=16,
      crop_padding=2,
    ),
    search=config.SearchConfig(
      cells=3, channels=8, epochs=20, arch_lr=3e-3, valid_every=5
    ),
    selection=config.SelectionConfig(name="perturbation", tune_epochs=2),
    evaluate=config.EvaluateConfig(
      cells=3,
      channels=8,
      epochs=8,
      cutout=0,
      drop_path=0.0,
      auxiliary_weight=0.0,
      random_baselines=0,
    ),
  )
