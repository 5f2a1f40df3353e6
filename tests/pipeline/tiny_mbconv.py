"""A chain of three MBConv layers that passes through every stage in seconds."""

import dataclasses

from jnas import config
from jnas.spaces import proxyless
from tests.pipeline import tiny

SPACE = proxyless.chain_space("tiny_mbconv", repeats=2, num_stages=2)


def get_config(method: str = "unas") -> config.Config:
  """Two epochs of three steps in each stage, on images of 8x8."""
  base = tiny.get_config()
  settings = {"cell": "edges"} if method == "unas" else {}
  return dataclasses.replace(
    base,
    name="tiny_mbconv",
    space="tests.pipeline.tiny_mbconv:SPACE",
    method=config.MethodConfig(name=method, settings=settings),
    data=dataclasses.replace(base.data, image_size=8),
    search=dataclasses.replace(
      base.search, channels=4, drop_skip=0.1, drop_skip_share=1.0
    ),
    evaluate=dataclasses.replace(base.evaluate, channels=4, drop_path=0.0),
  )
