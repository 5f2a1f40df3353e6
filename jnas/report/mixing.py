"""Mixing weights over the epochs of a search, on one grid per cell type.

Edges may offer different operations: the columns are the union of them, and a
weight is NaN where an edge does not offer the operation.
"""

import dataclasses
import math

from jnas.report import folder

Edge = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Weights:
  """Mixing weights of one cell type.

  Attributes:
    cell_type: "normal" or "reduce".
    edges: source and target node of each row.
    ops: operation of each column.
    epochs: the epochs whose weights are known, the first being 1.
    values: `[epoch][edge][operation]` weights.
    chosen: for each epoch, (edge, operation) indices of the derived cell.
    largest: the end of a common scale: the largest finite weight, and at
      least twice an even share of the edge with the most operations, so that
      an undecided edge looks undecided.
  """

  cell_type: str
  edges: tuple[Edge, ...]
  ops: tuple[str, ...]
  epochs: tuple[int, ...]
  values: tuple[tuple[tuple[float, ...], ...], ...]
  chosen: tuple[frozenset[tuple[int, int]], ...]
  largest: float

  def strongest(self, edge: int) -> tuple[str, float]:
    """The operation with the largest weight at the end, and the weight."""
    row = self.values[-1][edge]
    known = [k for k, value in enumerate(row) if math.isfinite(value)]
    if not known:
      return "unknown", math.nan
    k = max(known, key=lambda k: row[k])
    return self.ops[k], row[k]


def read_all(log: folder.Log) -> list[Weights]:
  """The weights of all cell types there are, on one scale."""
  found = [read(log, cell_type) for cell_type in ("normal", "reduce")]
  known = [weights for weights in found if weights]
  largest = max((weights.largest for weights in known), default=0.0)
  return [dataclasses.replace(w, largest=largest) for w in known]


def read(log: folder.Log, cell_type: str) -> Weights | None:
  """The weights of a cell type; None if the metrics have none."""
  epochs = [e for e in log.epochs if folder.matrix(e, "mixing", cell_type)]
  if not epochs:
    return None
  first = folder.matrix(epochs[0], "mixing", cell_type)
  edges = _read_edges(log, cell_type, len(first))
  names = _read_names(log, cell_type, first)
  ops = tuple(dict.fromkeys(op for row in names for op in row))
  column = {op: k for k, op in enumerate(ops)}
  values = []
  for epoch in epochs:
    grid = [[math.nan] * len(ops) for _ in edges]
    rows = folder.matrix(epoch, "mixing", cell_type)
    for e, row in enumerate(rows[: len(edges)]):
      # A padded row is longer than its list of operations.
      for op, weight in zip(names[e], row, strict=False):
        grid[e][column[op]] = folder.number({"weight": weight}, "weight")
    values.append(tuple(map(tuple, grid)))
  finite = [
    weight
    for grid in values
    for row in grid
    for weight in row
    if math.isfinite(weight)
  ]
  return Weights(
    cell_type=cell_type,
    edges=edges,
    ops=ops,
    epochs=tuple(epoch["epoch"] + 1 for epoch in epochs),
    values=tuple(values),
    chosen=tuple(_read_chosen(e, cell_type, edges, column) for e in epochs),
    largest=max([2 / max(1, *map(len, names)), *finite]),
  )


def _read_edges(
  log: folder.Log, cell_type: str, count: int
) -> tuple[Edge, ...]:
  """The header's edges, or those of a cell with two inputs in order."""
  told = folder.matrix(log.header, "edges", cell_type)
  if len(told) == count and all(len(edge) == 2 for edge in told):
    return tuple((source, target) for source, target in told)
  edges: list[Edge] = []
  target = 2
  while len(edges) < count:
    edges += [(source, target) for source in range(target)]
    target += 1
  return tuple(edges[:count])


def _read_names(
  log: folder.Log, cell_type: str, rows: list[list[float]]
) -> list[list[str]]:
  """The header's operations of each edge, or numbers in their place."""
  told = folder.matrix(log.header, "ops", cell_type)
  if len(told) == len(rows):
    return [[str(op) for op in names] for names in told]
  return [[f"op {k}" for k in range(len(row))] for row in rows]


def _read_chosen(
  epoch, cell_type: str, edges: tuple[Edge, ...], column: dict[str, int]
) -> frozenset[tuple[int, int]]:
  """Cells of the grid that the genotype of an epoch takes."""
  genotype = folder.genotype_of(epoch)
  cell = genotype.cells().get(cell_type) if genotype else None
  if cell is None:
    return frozenset()
  row = {edge: e for e, edge in enumerate(edges)}
  return frozenset(
    (row[source, target], column[op])
    for source, target, op in cell.connections()
    if (source, target) in row and op in column
  )
