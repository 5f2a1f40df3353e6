"""A cell as a Flax module: preprocessing, then the walk over its graph."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnas.nets import graph as graphs
from jnas.nets import heads, macro
from jnas.ops import Settings
from jnas.types import Array


class SourceNode(nn.Module):
  """The operations on one source node, each a named submodule.

  Attributes:
    features: C.
    stride: of the edges that leave the node.
    settings: the network's.
  """

  features: int
  stride: int
  settings: Settings

  @nn.compact
  def __call__(
    self, group: graphs.Group, x: Array, *, train: bool, drop_path: Array | None
  ) -> Array:
    """Runs the operation of a group.

    Args:
      group: the operation and the edges it serves (static).
      x: `[B, H, W, C]`.
      train: whether batch norms use the batch's statistics.
      drop_path: `[]` probability of dropping an edge for an example, or None.

    Returns:
      `[T or 1, B, H', W', C]`.
    """
    op = graphs.lookup(group.op)
    targets = len(group.members)
    module = op.build(
      features=self.features,
      stride=self.stride,
      targets=targets,
      settings=self.settings,
      name=module_name(group.op),
    )
    y = module(x[None], train=train)
    if drop_path is None or (op.is_identity and self.stride == 1):
      return y
    y = jnp.broadcast_to(y, (targets, *y.shape[1:]))
    return _drop_paths(self.make_rng("drop_path"), y, drop_path)


def _drop_paths(key: Array, x: Array, rate: Array) -> Array:
  """Drops each edge of each example with probability `rate`, and rescales.

  Source: FractalNet, as used by DARTS, Sec. 3.2; SPEC 2.2.
  """
  kept = jax.random.bernoulli(key, 1 - rate, x.shape[:2])
  scale = kept.astype(x.dtype) / (1 - rate).astype(x.dtype)
  return x * scale[:, :, None, None, None]


def module_name(op: str) -> str:
  """The operation's name as a name of a submodule, also for dotted paths."""
  return op.replace(".", "_").replace(":", "_")


class Cell(nn.Module):
  """One cell.

  Attributes:
    graph: its connections.
    plan: kind, channels and stride.
    settings: the network's.
  """

  graph: graphs.CellGraph
  plan: macro.CellPlan
  settings: Settings

  @nn.compact
  def __call__(
    self,
    before_last: Array,
    last: Array,
    weights: Mapping[tuple[int, str], Array] | None = None,
    *,
    train: bool,
    drop_path: Array | None = None,
  ) -> Array:
    """Maps the outputs of the two cells before to this cell's output.

    Args:
      before_last: `[B, H, W, C1]`, or twice the size where `halve_first`.
      last: `[B, H, W, C2]`.
      weights: of each group, from `graph.split_weights`; None in a derived
        net.
      train: whether batch norms use the batch's statistics.
      drop_path: `[]` probability of dropping an edge, or None.

    Returns:
      `[B, H / stride, W / stride, C * len(concat)]`.
    """
    features, affine = self.plan.features, self.settings.affine
    first_type = (
      heads.ReduceInput if self.plan.halve_first else heads.ReLUConvNorm
    )
    inputs = [
      first_type(features, affine, name="input_0")(before_last, train=train),
      heads.ReLUConvNorm(features, affine, name="input_1")(last, train=train),
    ]
    sources = {
      source: SourceNode(
        features,
        self.plan.stride if source < self.graph.num_inputs else 1,
        self.settings,
        name=f"node_{source}",
      )
      for source in {group.source for group in self.graph.groups}
    }

    def run(group: graphs.Group, x: Array) -> Array:
      return sources[group.source](group, x, train=train, drop_path=drop_path)

    return graphs.walk(
      self.graph, inputs, weights, run=run, stride=self.plan.stride
    )
