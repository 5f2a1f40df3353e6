"""The tiny problem with a node that has edges to lose; also a config file."""

import dataclasses

from jnas import config
from jnas.spaces import Space
from tests.pipeline import tiny

SPACE = Space(
  name="tiny_selection",
  num_inputs=2,
  num_nodes=2,
  ops={
    "normal": (("skip_connect", "sep_conv_3x3"),) * 5,
    "reduce": (("none", "max_pool_3x3"),) * 2 + (("avg_pool_3x3",),) * 3,
  },
  concat=(2, 3),
)


def get_config(
  *,
  method: str = "darts",
  scheme: str = "default",
  checkpoint_seconds: float = 3600.0,
  **selection: object,
) -> config.Config:
  """One epoch of search, and one of tuning after each decision."""
  base = tiny.get_config(checkpoint_seconds=checkpoint_seconds)
  fields = {
    "name": "perturbation",
    "tune_epochs": 1,
    "trials_per_call": 1,
    **selection,
  }
  return dataclasses.replace(
    base,
    space="tests.pipeline.tiny_selection:SPACE",
    method=config.MethodConfig(name=method),
    search=dataclasses.replace(
      base.search, epochs=1, scheme=scheme, drop_path=0.0
    ),
    selection=config.SelectionConfig(
      batch_size=10, checkpoint_seconds=checkpoint_seconds, **fields
    ),
  )
