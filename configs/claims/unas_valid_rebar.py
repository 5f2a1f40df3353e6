"""UNAS, small: REBAR on the validation loss.

Paper: UNAS Table 2, the validation loss; Figure 4.

Command: jnas claims P17 --source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/unas_gap_rebar, without the gap."""
  return dataclasses.replace(
    config.load("claims/unas_gap_rebar"),
    name="unas_valid_rebar",
    method=config.MethodConfig(
      name="unas",
      settings={"objective": "valid"},
    ),
  )
