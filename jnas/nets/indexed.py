"""A network of cells that takes its connections by index when it runs.

Timing thousands of architectures by compiling each is out of the question; one
compiled program that branches costs what the chosen connections cost, and the
price of branching. It is for timing: an operation on a node has one set of
parameters whichever edge uses it.

Source: UNAS, Sec. 5, latency of sampled networks; SPEC 3.9, "surrogate g".
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnas.nets import cell as cells
from jnas.nets import graph, heads, macro, timed
from jnas.ops import Settings, Shape
from jnas.ops import base as ops_base
from jnas.spaces import Space
from jnas.types import Array, PyTree

# The connection that a slot takes: node that is read, name of the operation.
Candidate = tuple[int, str]
# For each node of a cell, for each connection that it may have, what that may
# be.
Slots = tuple[tuple[tuple[Candidate, ...], ...], ...]


def free_slots(space: Space, cell_type: str) -> Slots:
  """As many connections a node as a derived cell keeps, each to any source."""
  return tuple(
    (sum(_by_edge(space, cell_type, node), ()),) * space.edges_per_node
    for node in range(space.num_nodes)
  )


def edge_slots(space: Space, cell_type: str) -> Slots:
  """One connection from every source of a node."""
  return tuple(
    _by_edge(space, cell_type, node) for node in range(space.num_nodes)
  )


def indices(
  counts_ek: np.ndarray, space: Space, cell_type: str, slots: Slots
) -> np.ndarray:
  """What each slot of a cell takes.

  Args:
    counts_ek: `[E, K]` how often each connection is used.
    space: the search space.
    cell_type: of the cell.
    slots: of its nodes.

  Returns:
    `[S]` int32 over all nodes: the position of the candidate, or the number of
    candidates where the slot takes nothing.

  Raises:
    ValueError: for a node with more connections than slots.
  """
  wanted: list[list[Candidate]] = [[] for _ in slots]
  for edge, (source, target) in enumerate(space.edges):
    for column, name in enumerate(space.ops[cell_type][edge]):
      if not graph.lookup(name).is_zero:
        times = int(round(float(counts_ek[edge, column])))
        wanted[target - space.num_inputs] += [(source, name)] * times
  taken = []
  for node, (connections, of_node) in enumerate(
    zip(wanted, slots, strict=True)
  ):
    for candidates in of_node:
      found = next((c for c in connections if c in candidates), None)
      if found is None:
        taken.append(len(candidates))
      else:
        connections.remove(found)
        taken.append(candidates.index(found))
    if connections:
      raise ValueError(
        f"{cell_type} cell, node {space.num_inputs + node}: no slot for "
        f"{connections}"
      )
  return np.array(taken, np.int32)


class IndexedNet(NamedTuple):
  """Maps images to logits through the connections that it is told of.

  Attributes:
    slots: of the nodes of each cell type.
    concat: nodes that make a cell's output.
    plan: stem, cells and classes.
    settings: of its operations.
  """

  slots: Mapping[str, Slots]
  concat: tuple[int, ...]
  plan: macro.MacroPlan
  settings: Settings

  def init(self, images: Array) -> PyTree:
    """Variables of the scale of trained ones; their values cost no time.

    Args:
      images: `[B, H, W, channels]`, of which only the shape is used.
    """
    stem = self._stem()
    variables: dict[str, PyTree] = {
      "stem": timed.fill(stem, images, train=False)
    }
    before_last, last = _output(stem, variables["stem"], images)
    for position, plan in enumerate(self.plan.cells):
      entry = _Entry(plan, self.settings)
      cell = {"entry": timed.fill(entry, before_last, last, train=False)}
      inputs = _output(entry, cell["entry"], before_last, last)
      after = _shape_after(inputs[0], plan.stride)
      for source, name in _candidates(self.slots[plan.cell_type]):
        is_input = source < len(inputs)
        x = jnp.zeros((1, *(inputs[source].shape if is_input else after)))
        stride = plan.stride if is_input else 1
        module = build_op(name, after[-1], stride, self.settings)
        cell[_key((source, name))] = timed.fill(module, x, train=False)
      variables[f"cell_{position}"] = cell
      features = after[-1] * len(self.concat)
      before_last, last = last, jnp.zeros((*after[:3], features))
    pooled = jnp.zeros((len(images), last.shape[-1]))
    variables["classifier"] = timed.fill(self._classifier(), pooled)
    return variables

  def apply(
    self, variables: PyTree, images: Array, index: Mapping[str, Array]
  ) -> Array:
    """Runs the network with the running statistics of its batch norms.

    Args:
      variables: from `init`.
      images: `[B, H, W, channels]`, normalised.
      index: for each cell type `[S]` integers, from `indices`.

    Returns:
      `[B, classes]` logits.
    """
    before_last, last = _run(
      self._stem(), variables["stem"], images, train=False
    )
    for position, plan in enumerate(self.plan.cells):
      before_last, last = (
        last,
        self._cell(
          plan,
          variables[f"cell_{position}"],
          before_last,
          last,
          index[plan.cell_type],
        ),
      )
    return _run(
      self._classifier(), variables["classifier"], heads.global_average(last)
    )

  def _cell(
    self,
    plan: macro.CellPlan,
    variables: PyTree,
    before_last: Array,
    last: Array,
    index_s: Array,
  ) -> Array:
    """The output of a cell whose slots take one of their candidates each."""
    entry = _Entry(plan, self.settings)
    nodes: list[Array] = _run(
      entry, variables["entry"], before_last, last, train=False
    )
    num_inputs, position = len(nodes), 0
    shape = _shape_after(nodes[0], plan.stride)

    def nothing() -> Array:
      return jnp.zeros(shape, last.dtype)

    for of_node in self.slots[plan.cell_type]:
      total = None
      for candidates in of_node:
        branches = [
          functools.partial(
            _operate,
            name,
            shape[-1],
            plan.stride if source < num_inputs else 1,
            self.settings,
            variables[_key((source, name))],
            nodes[source],
          )
          for source, name in candidates
        ]
        y = jax.lax.switch(index_s[position], [*branches, nothing])
        total = y if total is None else total + y
        position += 1
      nodes = [*nodes, nothing() if total is None else total]
    return jnp.concatenate([nodes[node] for node in self.concat], axis=-1)

  def _stem(self) -> heads.Stem:
    return heads.Stem(self.plan.stem, self.plan.features)

  def _classifier(self) -> heads.Classifier:
    return heads.Classifier(self.plan.num_classes)


class _Entry(nn.Module):
  """The input nodes of a cell."""

  plan: macro.CellPlan
  settings: Settings

  @nn.compact
  def __call__(
    self, before_last: Array, last: Array, *, train: bool
  ) -> list[Array]:
    """Maps the outputs of the two cells before to the input nodes."""
    return cells.preprocess(self.plan, self.settings, before_last, last, train)


def _candidates(slots: Slots) -> list[Candidate]:
  """Every candidate of a cell, once."""
  return list(
    dict.fromkeys(
      candidate
      for of_node in slots
      for candidates in of_node
      for candidate in candidates
    )
  )


def _key(candidate: Candidate) -> str:
  source, name = candidate
  return f"{graph.node_name(source)}/{name}"


def _run(module: nn.Module, variables: PyTree, *args, **options) -> Any:
  return module.apply(variables, *args, **options)


def _shape_after(x: Array, stride: int) -> tuple[int, ...]:
  batch, height, width, channels = x.shape
  return batch, height // stride, width // stride, channels


def _output(module: nn.Module, variables: PyTree, *args: Array) -> Any:
  """Zeros like the output of a module."""
  shapes = jax.eval_shape(lambda: module.apply(variables, *args, train=False))
  return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def build_op(
  name: str, features: int, stride: int, settings: Settings
) -> nn.Module:
  """The module of an operation on one edge."""
  return graph.lookup(name).build(
    features=features, stride=stride, targets=1, settings=settings
  )


# Its own jit, so that an operation is traced once for all slots of its shape.
@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _operate(
  name: str,
  features: int,
  stride: int,
  settings: Settings,
  variables: PyTree,
  x: Array,
) -> Array:
  """What an operation makes of `[B, H, W, C]`."""
  module = build_op(name, features, stride, settings)
  rngs = {"noise": jax.random.key(0)}
  return module.apply(variables, x[None], train=False, rngs=rngs)[0]


def build(
  space: Space, plan: macro.MacroPlan, settings: Settings, *, every_edge: bool
) -> timed.Indexed:
  """The program of a space's cells.

  Args:
    space: the search space.
    plan: stem, cells and classes.
    settings: of the operations.
    every_edge: whether an architecture uses every edge, once at most; if not,
      as many connections a node as a derived cell keeps.
  """
  layout = edge_slots if every_edge else free_slots
  slots = {name: layout(space, name) for name in space.cell_types}
  net = IndexedNet(slots, space.concat, plan, settings)

  def index(weights: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {
      name: indices(np.asarray(weights[name]), space, name, slots[name])
      for name in space.cell_types
    }

  return timed.Indexed(net.init, net.apply, index)


def layers(
  space: Space,
  plan: macro.MacroPlan,
  settings: Settings,
  shapes: Sequence[Shape],
) -> list[timed.TimedLayer]:
  """Every cell's operations on every edge, to be timed alone.

  Args:
    space: the search space.
    plan: stem, cells and classes.
    settings: of the operations.
    shapes: what the operations of each cell read.
  """
  found = []
  for cell, before in zip(plan.cells, shapes, strict=True):
    after = ops_base.strided(before, cell.stride)

    def timed_op(name, source, cell=cell, before=before, after=after):
      is_input = source < space.num_inputs
      stride, shape = (cell.stride, before) if is_input else (1, after)
      op = graph.lookup(name)
      if op.is_zero or (op.is_identity and stride == 1):
        return None
      module = build_op(name, cell.features, stride, settings)
      return timed.TimedOp((name, stride, shape), module, shape)

    rows = tuple(
      tuple(timed_op(name, source) for name in names)
      for names, (source, _) in zip(
        space.ops[cell.cell_type], space.edges, strict=True
      )
    )
    found.append(timed.TimedLayer(cell.cell_type, 0, rows))
  return found


def _by_edge(
  space: Space, cell_type: str, node: int
) -> tuple[tuple[Candidate, ...], ...]:
  """What each edge into a node may be, zeros left out."""
  return tuple(
    tuple(
      (source, name)
      for name in space.ops[cell_type][edge]
      if not graph.lookup(name).is_zero
    )
    for edge, (source, target) in enumerate(space.edges)
    if target == space.num_inputs + node
  )
