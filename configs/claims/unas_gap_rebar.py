"""UNAS, small: REBAR on the generalisation gap.

Paper: UNAS Table 2, the gap; Figure 4, the validation loss.
The architecture's learning rate is scaled so that it can move as far in these
steps as in the paper's.

Command: jnas claims P17 P19 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """The images of claims/gap_darts, 20 epochs of 56 steps, 3 for weights."""
  base, paper = config.load("claims/gap_darts"), config.load("unas_cifar10")
  return dataclasses.replace(
    paper,
    name="unas_gap_rebar",
    data=dataclasses.replace(base.data, valid_fraction=0.1),
    search=dataclasses.replace(
      paper.search,
      cells=4,
      channels=4,
      epochs=20,
      batch_size=64,
      arch_warmup=3,
      arch_lr=2e-2,
      valid_every=2,
    ),
    evaluate=dataclasses.replace(
      base.evaluate, cells=8, channels=8, epochs=12, batch_size=64
    ),
  )
