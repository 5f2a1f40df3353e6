"""A cell as a Flax module: preprocessing, then the walk over its graph."""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnas.nets import drops, heads, macro, width
from jnas.nets import graph as graphs
from jnas.nets.options import DEFAULT, Options
from jnas.ops import Settings
from jnas.types import Array


class SourceNode(nn.Module):
  """The operations on one source node, each a named submodule.

  Attributes:
    features: C.
    stride: of the edges that leave the node.
    settings: the network's.
    shared: whether one output serves all edges.
    remat: whether each operation is computed again for the gradient.
  """

  features: int
  stride: int
  settings: Settings
  shared: bool = False
  remat: bool = False

  @nn.compact
  def __call__(
    self,
    group: graphs.Group,
    x: Array,
    *,
    train: bool,
    drop_path: Array | None = None,
    drop_skip: Array | None = None,
  ) -> Array:
    """Runs the operation of a group.

    Args:
      group: the operation and the edges it serves (static).
      x: `[B, H, W, C]`.
      train: whether batch norms use the batch's statistics.
      drop_path: `[]` probability of dropping an edge for an example, or None.
      drop_skip: `[]` probability of dropping an element of an identity, or
        None.

    Returns:
      `[T or 1, B, H', W', C]`.
    """
    op = graphs.lookup(group.op)
    targets = 1 if self.shared else len(group.members)
    module = op.build(
      features=self.features,
      stride=self.stride,
      targets=targets,
      settings=self.settings,
      name=graphs.module_name(group.op),
    )

    def run(module: nn.Module, x: Array) -> Array:
      return module(x, train=train)

    y = (nn.remat(run) if self.remat else run)(
      module, jax.lax.expand_dims(x, (0,))
    )
    self._check(y, group.op, x, targets)
    is_identity = op.is_identity and self.stride == 1
    if is_identity and drop_skip is not None:
      y = jnp.broadcast_to(y, (targets, *y.shape[1:]))
      return drops.drop_elements(self.make_rng("drop_skip"), y, drop_skip)
    if is_identity or drop_path is None:
      return y
    y = jnp.broadcast_to(y, (targets, *y.shape[1:]))
    return drops.drop_paths(self.make_rng("drop_path"), y, drop_path)

  def _check(self, y: Array, op: str, x: Array, targets: int) -> None:
    """Refuses what an operation of the user's own may return."""
    batch, *size, _ = x.shape
    wanted = (batch, *(-(-n // self.stride) for n in size), self.features)
    if y.shape[1:] != wanted or y.shape[0] not in (1, targets):
      raise ValueError(
        f"operation {op!r} returned an array of shape {y.shape} at stride "
        f"{self.stride}; it must be {(targets, *wanted)}"
      )


class Cell(nn.Module):
  """One cell that computes all its connections.

  In a supernet it is an Engine cell; in a derived net it holds those that the
  genotype names.

  Attributes:
    graph: its connections.
    plan: kind, channels and stride.
    settings: the network's.
    options: the supernet's; the default in a derived net.
  """

  graph: graphs.CellGraph
  plan: macro.CellPlan
  settings: Settings
  options: Options = DEFAULT

  @nn.compact
  def __call__(
    self,
    before_last: Array,
    last: Array,
    weights: Mapping[tuple[int, str], Array] | None = None,
    *,
    train: bool,
    edge_weights: Array | None = None,
    drop_path: Array | None = None,
    drop_skip: Array | None = None,
  ) -> Array:
    """Maps the outputs of the two cells before to this cell's output.

    Args:
      before_last: `[B, H, W, C1]`, or twice the size where `halve_first`.
      last: `[B, H, W, C2]`.
      weights: of each group, from `graph.split_weights`; None in a derived
        net.
      train: whether batch norms use the batch's statistics.
      edge_weights: `[E]` or `[B, E]`, of channels that go past the operations;
        None where each edge counts 1.
      drop_path: `[]` probability of dropping an edge, or None.
      drop_skip: `[]` probability of dropping an element behind an identity, or
        None.

    Returns:
      `[B, H / stride, W / stride, C * len(concat)]`.
    """
    inputs = preprocess(self.plan, self.settings, before_last, last, train)
    return mix(
      self,
      inputs,
      weights,
      train=train,
      edge_weights=edge_weights,
      drop_path=drop_path,
      drop_skip=drop_skip,
    )


def preprocess(
  plan: macro.CellPlan,
  settings: Settings,
  before_last: Array,
  last: Array,
  train: bool,
) -> list[Array]:
  """A cell's input nodes, from submodules of the module that calls."""
  first_type = heads.ReduceInput if plan.halve_first else heads.ReLUConvNorm
  first = first_type(plan.features, settings.affine, name="input_0")
  second = heads.ReLUConvNorm(plan.features, settings.affine, name="input_1")
  return [first(before_last, train=train), second(last, train=train)]


def mix(
  cell: Cell,
  inputs: Sequence[Array],
  weights: Mapping[tuple[int, str], Array] | None,
  *,
  train: bool,
  edge_weights: Array | None = None,
  drop_path: Array | None = None,
  drop_skip: Array | None = None,
) -> Array:
  """A cell's output from its input nodes, all connections computed.

  Its submodules become those of `cell`, in whose method it is called; the
  arguments are those of `Cell`.
  """
  graph, options = cell.graph, cell.options
  sources = {
    source: SourceNode(
      options.inner(cell.plan.features),
      cell.plan.stride if source < graph.num_inputs else 1,
      cell.settings,
      shared=options.share_features,
      remat=options.remat == "op",
      name=graphs.node_name(source),
    )
    for source in {group.source for group in graph.groups}
  }

  def run(group: graphs.Group, x: Array) -> Array:
    return sources[group.source](
      group, x, train=train, drop_path=drop_path, drop_skip=drop_skip
    )

  enter, leave = _ports(cell, edge_weights, train)
  return graphs.walk(
    graph,
    inputs,
    weights,
    run=run,
    stride=cell.plan.stride,
    enter=enter,
    leave=leave,
  )


def _ports(cell: Cell, edge_weights: Array | None, train: bool):
  """What lies before and behind the operations of a node."""
  options, features = cell.options, cell.plan.features
  if options.partial_channels > 1:
    partial = width.PartialChannels(
      cell.graph,
      ratio=options.partial_channels,
      edge_weights=edge_weights,
      stride=cell.plan.stride,
    )
    return partial.enter, partial.leave
  if options.bottleneck == 1:
    return None, None

  def port(name: str, features: int, x: Array) -> Array:
    conv = heads.ReLUConvNorm(features, cell.settings.affine, name=name)
    return conv(x, train=train)

  def enter(source: int, x: Array) -> Array:
    return port(width.reduce_name(source), options.inner(features), x)

  def leave(target: int, total: Array, nodes: Mapping[int, Array]) -> Array:
    del nodes
    return port(width.expand_name(target), features, total)

  return enter, leave
