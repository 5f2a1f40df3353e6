"""Operations on fewer channels than the cell has: two ways in and out of them.

Each gives `graph.walk` its `enter` and `leave`.

Source: EnTranNAS, Sec. 3.1, bottleneck; PC-DARTS (arXiv:1907.05737), Sec. 3.1.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from jnas.nets import graph as graphs
from jnas.types import Array


def reduce_name(source: int) -> str:
  """Name of the convolution that reduces the channels of a node."""
  return f"reduce_{source}"


def expand_name(target: int) -> str:
  """Name of the convolution that recovers the channels of a node."""
  return f"expand_{target}"


class PartialChannels:
  """The first channels pass through the operations, the rest around them.

  What goes around takes the weight of its edge, 2x2 max-pooled where the edge
  has a stride. Channels are then shuffled, so that others come first at the
  next node. Summing over the edges before the shuffle changes nothing.

  Source: PC-DARTS, Sec. 3.1 and Eqs. (1) and (2).

  Attributes:
    ratio: K, the inverse of the share that passes through the operations.
    edges: edge between each (source, target).
    edge_weights: `[E]` or `[B, E]`, or None where each counts 1.
    stride: of the edges that leave input nodes.
    num_inputs: input nodes.
  """

  def __init__(
    self,
    cell: graphs.CellGraph,
    *,
    ratio: int,
    edge_weights: Array | None,
    stride: int,
  ) -> None:
    self.ratio = ratio
    self.edge_weights = edge_weights
    self.stride = stride
    self.num_inputs = cell.num_inputs
    self.edges = {
      (group.source, member.target): member.edge
      for group in cell.groups
      for member in group.members
    }
    self._past: dict[int, Array] = {}

  def enter(self, source: int, x: Array) -> Array:
    """`[B, H, W, C]` to the first C / K channels."""
    features = x.shape[-1] // self.ratio
    past = x[..., features:]
    if source < self.num_inputs and self.stride == 2:
      past = nn.max_pool(past, (2, 2), strides=(2, 2))
    self._past[source] = past
    return x[..., :features]

  def leave(
    self, target: int, total: Array, nodes: Mapping[int, Array]
  ) -> Array:
    """`[B, H', W', C / K]` to `[B, H', W', C]`."""
    del nodes
    around = sum(
      self._weigh(self._past[source], edge)
      for (source, into), edge in self.edges.items()
      if into == target
    )
    return shuffle(jnp.concatenate([total, around], axis=-1), self.ratio)

  def _weigh(self, past: Array, edge: int) -> Array:
    if self.edge_weights is None:
      return past
    weight = self.edge_weights[..., edge].astype(past.dtype)
    return past * weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))


def shuffle(x: Array, groups: int) -> Array:
  """`[..., C]` with channel g C / G + c moved to c G + g.

  Source: ShuffleNet (arXiv:1707.01083), Sec. 3.1, as used by PC-DARTS.
  """
  *lead, channels = x.shape
  x = x.reshape(*lead, groups, channels // groups)
  return jnp.swapaxes(x, -1, -2).reshape(*lead, channels)
