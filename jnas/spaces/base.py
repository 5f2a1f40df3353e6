"""What may be chosen: nodes, edges, and the operation names on each edge."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

# How cells are stacked: DARTS's pair of cells, or three stages of one cell; or
# a chain of layers.
Network = Literal["darts", "nasbench201", "mbconv"]
# The operation that cuts an edge: zeros of the output's shape.
NONE = "none"
# The identity (stride 1), whose share in a cell is watched during a search.
SKIP = "skip_connect"


def dense_edges(num_inputs: int, num_nodes: int) -> tuple[tuple[int, int], ...]:
  """Edges (source, target) of a full cell, by target and then by source.

  Source: SPEC 1.3, the order of alpha's rows.
  """
  return tuple(
    (source, target)
    for target in range(num_inputs, num_inputs + num_nodes)
    for source in range(target)
  )


@dataclasses.dataclass(frozen=True)
class Space:
  """A cell search space.

  Attributes:
    name: as in the table of spaces.
    num_inputs: input nodes of a cell.
    num_nodes: intermediate nodes of a cell.
    ops: for each cell type, the operation names of each edge, in the order of
      the columns of its architecture parameters. Lists may differ in length.
    concat: nodes concatenated to make a cell's output.
    pool_norm: whether pools are followed by a batch norm in the supernet.
    edges_per_node: edges that each node of a derived cell keeps.
    network: how cells are stacked into a network.
    every_edge: whether a derived cell names every edge, in their order, each
      with its strongest operation, `none` included; if not, each node keeps
      the strongest `edges_per_node` and `none` is never chosen.
    chain: whether there are no cells but layers, one behind the other, of the
      kinds that `ops` lists: edge n of a kind is its n-th layer, from node n
      to n + 1. Kinds differ in length, so that `num_nodes` and `concat` are
      those of the longest.
  """

  name: str
  num_inputs: int
  num_nodes: int
  ops: Mapping[str, tuple[tuple[str, ...], ...]]
  concat: tuple[int, ...]
  pool_norm: bool = True
  edges_per_node: int = 2
  network: Network = "darts"
  every_edge: bool = False
  chain: bool = False

  def __post_init__(self):
    """Checks the network, the output's nodes and every edge's operations."""
    if self.network not in get_args(Network):
      raise ValueError(
        f"space {self.name!r}: network is {self.network!r}; it must be one of "
        f"{', '.join(get_args(Network))}"
      )
    last = self.num_inputs + self.num_nodes - 1
    for node in self.concat:
      if not self.num_inputs <= node <= last:
        raise ValueError(
          f"space {self.name!r}: concat holds node {node}; the nodes are "
          f"{self.num_inputs} to {last}"
        )
    if not self.concat:
      raise ValueError(f"space {self.name!r}: concat is empty")
    for cell_type, lists in self.ops.items():
      if len(lists) != len(self.edges_of(cell_type)):
        raise ValueError(
          f"space {self.name!r}, {cell_type} cell: operation lists for "
          f"{len(lists)} edges; this cell has {len(self.edges_of(cell_type))}"
        )
      for edge, names in enumerate(lists):
        if not names or len(set(names)) != len(names):
          raise ValueError(
            f"space {self.name!r}, {cell_type} cell, edge {edge}: operations "
            f"{names}; at least one is needed and none may occur twice"
          )
        if set(names) == {NONE}:
          raise ValueError(
            f"space {self.name!r}, {cell_type} cell, edge {edge}: operations "
            f"{names}; at least one other than {NONE!r} is needed"
          )

  @property
  def cell_types(self) -> tuple[str, ...]:
    """Names of the cell types, `("normal", "reduce")` in DARTS."""
    return tuple(self.ops)

  @property
  def edges(self) -> tuple[tuple[int, int], ...]:
    """(source, target) of each edge, in the order of the parameters' rows.

    Raises:
      ValueError: for a chain, whose kinds of layers differ in it.
    """
    if self.chain:
      raise ValueError(
        f"space {self.name!r} is a chain of layers, without cells; this works "
        "on cells alone"
      )
    return dense_edges(self.num_inputs, self.num_nodes)

  def edges_of(self, cell_type: str) -> tuple[tuple[int, int], ...]:
    """(source, target) of each edge of a cell type."""
    if self.chain:
      return tuple((row, row + 1) for row in range(len(self.ops[cell_type])))
    return self.edges

  def nodes_of(self, cell_type: str) -> int:
    """Intermediate nodes of a cell type."""
    return len(self.ops[cell_type]) if self.chain else self.num_nodes

  def concat_of(self, cell_type: str) -> tuple[int, ...]:
    """Nodes that make the output of a cell type."""
    return (len(self.ops[cell_type]),) if self.chain else self.concat

  @property
  def num_ops(self) -> int:
    """K: the longest operation list of any edge of any cell type."""
    return max(len(names) for lists in self.ops.values() for names in lists)

  @property
  def op_names(self) -> frozenset[str]:
    """Every operation that occurs."""
    return frozenset(
      name for lists in self.ops.values() for names in lists for name in names
    )

  def columns(self, cell_type: str) -> int:
    """K of a cell type: that of all, but in a chain its own longest list."""
    if self.chain:
      return max(map(len, self.ops[cell_type]))
    return self.num_ops

  def mask(self, cell_type: str) -> np.ndarray:
    """`[E, K]` booleans, True where an edge has that many operations."""
    lengths = [len(names) for names in self.ops[cell_type]]
    columns = np.arange(self.columns(cell_type))
    return columns[None, :] < np.array(lengths)[:, None]

  def is_op(self, cell_type: str, name: str) -> np.ndarray:
    """`[E, K]` booleans, True where the entry is the operation `name`."""
    return np.array(
      [
        [
          k < len(names) and names[k] == name
          for k in range(self.columns(cell_type))
        ]
        for names in self.ops[cell_type]
      ]
    )
