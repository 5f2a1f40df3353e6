"""P-DARTS, CIFAR-10: three stages, deeper and with fewer operations.

Paper: P-DARTS (arXiv:1904.12760) Table 1, 2.50 % error, 3.4M parameters, 0.3
GPU-days.

Command: jnas run --config configs/p_darts_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """5, 11 and 17 cells with 8, 5 and 3 operations, 25 epochs each."""
  return config.Config(
    name="p_darts_cifar10",
    method=config.MethodConfig(name="darts"),
    data=config.DataConfig(source="cifar10"),
    search=config.SearchConfig(
      epochs=25, batch_size=96, arch_warmup=10, arch_lr=6e-4
    ),
    progressive=config.ProgressiveConfig(
      cells=(5, 11, 17),
      ops=(8, 5, 3),
      drop_skip=(0.0, 0.4, 0.7),
      max_skips=2,
    ),
  )
