"""DARTS on 4,000 small images of CIFAR-10: the gap after derivation.

Paper: SNAS Table 1, supernet 87.67 %, child with inherited weights 54.66 %.
The architecture's learning rate is scaled so that it can move as far in these
steps as in the paper's.

Command: jnas search --config claims/gap_darts --data.source npz:PATH
"""

from jnas import config


def get_config() -> config.Config:
  """4 cells of 4 channels, 16x16 images, 40 epochs of 31 steps."""
  return config.Config(
    name="gap_darts",
    data=config.DataConfig(
      source="cifar10",
      limit=4_000,
      test_limit=1_000,
      image_size=16,
      crop_padding=2,
    ),
    search=config.SearchConfig(
      cells=4, channels=4, epochs=40, arch_lr=5e-3, valid_every=5
    ),
    evaluate=config.EvaluateConfig(
      cells=4,
      channels=4,
      epochs=1,
      cutout=0,
      drop_path=0.0,
      auxiliary_weight=0.0,
      random_baselines=0,
    ),
  )
