"""PC-DARTS, CIFAR-10: a quarter of the channels, weights of edges.

Paper: PC-DARTS (arXiv:1907.05737) Table 1, 2.57 +- 0.07 % error, 3.6M
parameters, 0.1 GPU-days.

Command: jnas run --config configs/pc_darts_cifar10.py
"""

from jnas import config


def get_config() -> config.Config:
  """Batch 256; the architecture waits for 15 epochs."""
  return config.Config(
    name="pc_darts_cifar10",
    method=config.MethodConfig(name="pc_darts"),
    data=config.DataConfig(source="cifar10"),
    supernet=config.SupernetConfig(partial_channels=4),
    search=config.SearchConfig(
      batch_size=256, lr=0.1, arch_lr=6e-4, arch_warmup=15
    ),
  )
