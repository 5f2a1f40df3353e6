"""UNAS, small: nodes may have one pair twice at no cost.

Paper: UNAS Sec. 4, the architecture penalty.

Command: jnas claims P19 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/unas_gap_rebar, without the penalty."""
  return dataclasses.replace(
    config.load("claims/unas_gap_rebar"),
    name="unas_free",
    method=config.MethodConfig(
      name="unas",
      settings={"duplicate_weight": 0.0},
    ),
  )
