"""UNAS, small: Gumbel-softmax on the generalisation gap.

Paper: UNAS Figure 4.

Command: jnas claims P17 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/unas_gap_rebar, with the biased estimator."""
  return dataclasses.replace(
    config.load("claims/unas_gap_rebar"),
    name="unas_gap_gs",
    method=config.MethodConfig(
      name="unas",
      settings={"estimator": "gumbel_softmax"},
    ),
  )
