"""UNAS with a measured latency, small: 5 MBConv layers on CIFAR-10.

Paper: UNAS Sec. 5.3, Table 3, at a size that two CPU cores search in minutes.
Differs from the paper: five layers; of 11, weights that see another path in
each step learn nothing in a thousand steps.
Build the table first: jnas latency build --config configs/unas_mbconv_small.py
--out latency_mbconv_small.json

Command: jnas run --config configs/unas_mbconv_small.py
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """4,000 images of 32x32, 6 epochs of the weights alone, then 10 of both."""
  base = config.load("unas_mbconv")
  settings = base.method.settings | {
    "latency_table": "latency_mbconv_small.json",
    "latency_target": 2.0,
    "latency_weight": 0.5,
    "latency_ramp": 200,
  }
  return dataclasses.replace(
    base,
    name="unas_mbconv_small",
    space="mbconv_tiny",
    method=config.MethodConfig(name="unas", settings=settings),
    data=config.DataConfig(
      source="cifar10", limit=4_000, test_limit=1_000, valid_fraction=0.1
    ),
    search=dataclasses.replace(
      base.search,
      cells=5,
      channels=8,
      stem="cifar",
      epochs=16,
      batch_size=32,
      lr=3e-3,
      lr_min=3e-4,
      arch_warmup=6,
      arch_lr=2e-2,
    ),
    evaluate=dataclasses.replace(
      base.evaluate,
      cells=5,
      channels=8,
      stem="cifar",
      epochs=20,
      batch_size=64,
      lr=0.05,
      lr_warmup=0,
      label_smoothing=0.0,
    ),
  )
