"""First-order DARTS on real images, from search to retrained network.

Data: fashion_mnist_mini, 4,000 + 1,000 real images inside the package.
Differs from the paper: everything is small, images are 28x28, and the recipe
of the retraining is for a short schedule (no cutout, drop-path or auxiliary
head).

Command: jnas run --config configs/quickstart.py
"""

from jnas import config


def get_config() -> config.Config:
  """A search and a retraining that take minutes on two CPU cores."""
  return config.Config(
    name="quickstart",
    data=config.DataConfig(image_size=28, crop_padding=2),
    search=config.SearchConfig(
      cells=5, channels=8, epochs=3, batch_size=64, arch_lr=3e-3
    ),
    evaluate=config.EvaluateConfig(
      cells=5,
      channels=16,
      epochs=6,
      batch_size=64,
      lr=0.05,
      cutout=0,
      drop_path=0.0,
      auxiliary_weight=0.0,
    ),
  )
