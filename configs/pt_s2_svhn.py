"""DARTS with perturbation-based selection in S2, SVHN.

Paper: PT Table 3, % error in S1, S2, S3, S4:
  DARTS 4.58, 3.53, 3.41, 3.05;
  PT 2.62, 2.53, 2.42, 2.42;
  PT with alpha fixed 2.39, 2.32, 2.32, 2.39.
8 cells of 16 channels are the authors' code's. In another space: --space s1,
s3 or s4; without PT: --selection.name none.

Command: jnas run --config configs/pt_s2_svhn.py
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As pt_s2_cifar10, on SVHN, its network 8 cells of 16 channels."""
  base = config.load("pt_s2_cifar10")
  return dataclasses.replace(
    base,
    name="pt_s2_svhn",
    data=dataclasses.replace(base.data, source="svhn"),
    evaluate=dataclasses.replace(base.evaluate, cells=8, channels=16),
  )
