"""Uniform alpha with perturbation-based selection, CIFAR-10.

Paper: PT Table 4, 2.87 % error with alpha fixed at 0.

Command: jnas run --config configs/pt_frozen_cifar10.py
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """The architecture never moves; PT alone decides."""
  base = config.load("darts_cifar10")
  return dataclasses.replace(
    base,
    name="pt_frozen_cifar10",
    space="darts_no_none",
    method=config.MethodConfig(name="darts", settings={"init_scale": 0.0}),
    search=dataclasses.replace(base.search, scheme="frozen"),
    selection=config.SelectionConfig(name="perturbation"),
  )
