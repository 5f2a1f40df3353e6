"""DARTS with perturbation-based selection in S2, CIFAR-100.

Paper: PT Table 3, % error in S1, S2, S3, S4:
  DARTS 29.46, 26.05, 28.90, 22.85;
  PT 24.48, 23.16, 22.03, 20.80;
  PT with alpha fixed 24.40, 23.30, 21.94, 20.66.
8 cells of 16 channels are the authors' code's. In another space: --space s1,
s3 or s4; without PT: --selection.name none.

Command: jnas run --config configs/pt_s2_cifar100.py
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As pt_s2_cifar10, on CIFAR-100, its network 8 cells of 16 channels."""
  base = config.load("pt_s2_cifar10")
  return dataclasses.replace(
    base,
    name="pt_s2_cifar100",
    data=dataclasses.replace(base.data, source="cifar100"),
    evaluate=dataclasses.replace(base.evaluate, cells=8, channels=16),
  )
