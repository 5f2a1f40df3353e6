"""Candidate operations by name."""

from jnas.ops import conv, pool, skip
from jnas.ops.base import Cost, Op, Settings, Shape

OPS = {
  "none": skip.ZERO,
  "max_pool_3x3": pool.MAX_POOL,
  "avg_pool_3x3": pool.AVG_POOL,
  "skip_connect": skip.SKIP,
  "sep_conv_3x3": conv.separable(3),
  "sep_conv_5x5": conv.separable(5),
  "sep_conv_7x7": conv.separable(7),
  "dil_conv_3x3": conv.dilated(3),
  "dil_conv_5x5": conv.dilated(5),
  "conv_7x1_1x7": conv.pair(7),
  "conv_1x1": conv.dense(1),
  "conv_3x3": conv.dense(3),
  "conv_1x3_3x1": conv.pair(3),
  "conv_1x5_5x1": conv.pair(5),
  "conv_1x7_7x1": conv.pair(7),
  "nor_conv_1x1": conv.dense(1),
  "nor_conv_3x3": conv.dense(3),
  "noise": skip.NOISE,
}

__all__ = ["OPS", "Cost", "Op", "Settings", "Shape"]
