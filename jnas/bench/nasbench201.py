"""Cells looked up in the user's table of NAS-Bench-201.

Isomorphic cells, which compute the same, are not merged: the benchmark trained
each on its own, and each has its own row and rank.

Source: NAS-Bench-201 (arXiv:2001.00326), Sec. 2; SPEC 2.5.
"""

import dataclasses
from collections.abc import Mapping

from jnas.bench.nasbench201_table import NUM_CELLS, Score, Table
from jnas.genotype import (
  Cell,
  Genotype,
  from_nasbench201,
  to_nasbench201,
  to_nasbench201_index,
)


@dataclasses.dataclass(frozen=True)
class Entry:
  """What the table says of one cell.

  Attributes:
    genotype: with every edge named.
    string: the benchmark's name for it.
    index: its row in the table.
    connected: whether its output depends on its input.
    scores: by data set, those of `ACCURACY_KEYS` that the table has.
    params: parameters at 10 classes; None if the table does not say.
    macs: multiply-adds of one 32x32 image, as the benchmark counts them, with
      the classifier's biases; None if the table does not say.
  """

  genotype: Genotype
  string: str
  index: int
  connected: bool
  scores: Mapping[str, Score]
  params: int | None
  macs: int | None


def lookup(table: Table, genotype: Genotype) -> Entry:
  """What the table says of a genotype.

  Args:
    table: from `load`.
    genotype: one cell type, one input, three nodes; an edge that it does not
      name is `none`, and the order of a node's connections does not matter.

  Raises:
    ValueError: for a genotype that is no cell of NAS-Bench-201.
  """
  genotype = complete(genotype)
  row = int(table.rows[to_nasbench201_index(genotype)])
  costs = {key: int(values[row]) for key, values in table.costs.items()}
  return Entry(
    genotype=genotype,
    string=to_nasbench201(genotype),
    index=row,
    connected=genotype.normal.is_connected(),
    scores={
      data_set: table.score(row, data_set) for data_set in table.accuracies
    },
    params=costs.get("params"),
    macs=costs.get("macs"),
  )


def to_index(table: Table, genotype: Genotype) -> int:
  """The row of a genotype: the benchmark's own index, if the file keeps it.

  Raises:
    ValueError: for a genotype that is no cell of NAS-Bench-201.
  """
  return int(table.rows[to_nasbench201_index(complete(genotype))])


def from_index(table: Table, index: int) -> Genotype:
  """The cell of a row.

  Raises:
    ValueError: for an index that is not in 0 to 15,624.
  """
  if not 0 <= index < NUM_CELLS:
    raise ValueError(f"index {index} is not in 0 to {NUM_CELLS - 1}")
  return from_nasbench201(table.strings[index])


def complete(genotype: Genotype) -> Genotype:
  """The genotype with every edge named, in order, those left out as `none`.

  Raises:
    ValueError: if a node takes another twice, which no cell here does.
  """
  cell = genotype.normal
  nodes = []
  for target, node in enumerate(cell.nodes, start=cell.num_inputs):
    ops = {source: op for op, source in node}
    if len(ops) < len(node):
      raise ValueError(
        f"not a NAS-Bench-201 cell: node {target} takes a node twice, in {node}"
      )
    nodes.append(tuple((ops.get(i, "none"), i) for i in range(target)))
  return Genotype(
    Cell(tuple(nodes), cell.concat, cell.num_inputs),
    genotype.reduce,
    space=genotype.space,
  )
