"""What the operations of one Transit cell have in common.

Source: EnTranNAS, Sec. 2.2; SPEC 3.4.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jnas.nets import detached, drops, heads, macro
from jnas.nets import graph as graphs
from jnas.nets.options import Options
from jnas.ops import Op, Settings
from jnas.types import Array, PRNGKey, PyTree


class Context(NamedTuple):
  """What the operations of one Transit cell have in common.

  Attributes:
    graph: all connections of the cell.
    plan: kind, channels and stride.
    settings: the network's.
    options: the supernet's.
    train: whether batch norms use the batch's statistics.
    noise: key of operations that draw, or None.
    drop_skip: `[]` probability of dropping an element of an identity, or None.
    drop_key: key of that, or None.
  """

  graph: graphs.CellGraph
  plan: macro.CellPlan
  settings: Settings
  options: Options
  train: bool
  noise: PRNGKey | None
  drop_skip: Array | None
  drop_key: PRNGKey | None

  @property
  def inner(self) -> int:
    """Channels of the operations."""
    return self.options.inner(self.plan.features)

  def stride_of(self, source: int) -> int:
    """Stride of the edges that leave a node."""
    return self.plan.stride if source < self.graph.num_inputs else 1

  def path(self, group: graphs.Group) -> tuple[str, str]:
    """Names of the submodules that lead to an operation."""
    return graphs.node_name(group.source), graphs.module_name(group.op)

  def count_outputs(
    self, group: graphs.Group, params: PyTree, stats: PyTree, x: Array
  ) -> int:
    """Outputs that an operation has: one for all edges, or one for each."""
    if self.options.share_features:
      return 1
    for leaf in jax.tree.leaves((params, stats)):
      return leaf.shape[0]
    shape = (*x.shape[:-1], self.inner)
    y, _ = jax.eval_shape(
      lambda x: self.run(group, params, stats, x, range(len(group.members))),
      jax.ShapeDtypeStruct(shape, x.dtype),
    )
    return y.shape[0]

  def run(
    self,
    group: graphs.Group,
    params: PyTree,
    stats: PyTree,
    x: Array,
    rows: Sequence[Any],
    index: Any = None,
  ) -> tuple[Array, PyTree]:
    """Runs an operation on some rows of its stack.

    Args:
      group: the operation.
      params: slices of its parameters.
      stats: slices of its batch statistics.
      x: `[B, H, W, D]`.
      rows: R integers, traced or not, which rows of the stack they are.
      index: integer, traced or not, of the group in the cell; None for that of
        `group`. Random draws depend on it and on the rows.

    Returns:
      `[R or 1, B, H', W', D]`, and the moved statistics.
    """
    op: Op = graphs.lookup(group.op)
    if index is None:
      names = [(other.source, other.op) for other in self.graph.groups]
      index = names.index((group.source, group.op))
    stride = self.stride_of(group.source)
    module = op.build(
      features=self.inner,
      stride=stride,
      targets=len(rows),
      settings=self.settings,
      parent=None,
    )
    noise = None
    if self.noise is not None:
      noise = jax.random.fold_in(self.noise, index)
      noise = jax.random.fold_in(noise, rows[0])
    y, moved = detached.apply(
      module, params, stats, x[None], train=self.train, noise=noise
    )
    rate, key = self.drop_skip, self.drop_key
    is_identity = op.is_identity and stride == 1
    if is_identity and rate is not None and key is not None:
      key = jax.random.fold_in(key, index)
      keys = [jax.random.fold_in(key, row) for row in rows]
      y = jnp.stack([drops.drop_elements(key, y[0], rate) for key in keys])
    return y, moved

  def run_port(
    self, features: int, params: PyTree, stats: PyTree, x: Array
  ) -> tuple[Array, PyTree]:
    """A bottleneck's 1x1 convolution to so many channels."""
    module = heads.ReLUConvNorm(features, self.settings.affine, parent=None)
    return detached.apply(module, params, stats, x, train=self.train)
