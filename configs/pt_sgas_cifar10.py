"""SGAS, criterion 1, with perturbation-based selection, CIFAR-10.

Paper: PT Table 2, 2.56 +- 0.10 % error, 3.9M parameters, 0.29 GPU-days.

Command: jnas run --config configs/pt_sgas_cifar10.py
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """At each decision of SGAS the operation is PT's."""
  base = config.load("sgas_1_cifar10")
  return dataclasses.replace(
    base,
    name="pt_sgas_cifar10",
    selection=config.SelectionConfig(name="perturbation"),
  )
