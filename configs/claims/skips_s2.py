"""DARTS on S2: skip connections take over.

Paper: PT Figure 2: skip_connect outweighs sep_conv_3x3 on 12 of 14 edges.

Command: jnas search --config claims/skips_s2 --data.source npz:PATH
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """As claims/gap_darts, in the space S2."""
  return dataclasses.replace(
    config.load("claims/gap_darts"), name="skips_s2", space="s2"
  )
