"""3x3 pools, with a batch norm behind them in most supernets.

Source: SPEC 2.1. A pool has no parameters, so it runs once for each source
whatever the number of edges, unless an affine batch norm follows.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from jnas.native import lowering
from jnas.ops import base
from jnas.types import Array


class Pool(nn.Module):
  """3x3 pool with padding 1, and a batch norm where the settings ask for it.

  Attributes:
    features: C.
    stride: 1 or 2.
    targets: T.
    settings: the network's.
    pool: `(x [B, H, W, C], stride) -> [B, H', W', C]`.
  """

  features: int
  stride: int
  targets: int
  settings: base.Settings
  pool: Callable[..., Array]

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[1, B, H, W, C]` to `[1, B, H', W', C]`, `[T, ...]` if affine."""
    y = self.pool(x[0], stride=self.stride)[None]
    if not self.settings.pool_norm:
      return y
    if self.settings.affine:
      y = jnp.broadcast_to(y, (self.targets, *y.shape[1:]))
    return base.BatchNorm(self.settings.affine, name="norm")(y, train=train)


def _cost(shape: base.Shape, stride: int, settings: base.Settings) -> base.Cost:
  output = base.strided(shape, stride)
  elements = output.height * output.width * output.channels
  cost = base.copy_cost(output).plus(base.Cost(pool_additions=9 * elements))
  if not settings.pool_norm:
    return cost
  return cost.plus(base.norm_cost(output, settings))


MAX_POOL = base.Op(
  build=functools.partial(Pool, pool=lowering.max_pool),
  cost=_cost,
  parametric=False,
)
AVG_POOL = base.Op(
  build=functools.partial(Pool, pool=lowering.avg_pool),
  cost=_cost,
  parametric=False,
)
