"""Benchmarks that hold the accuracies of every cell of a space."""

from jnas.bench.nasbench201 import (
  NUM_CELLS,
  Entry,
  Score,
  Table,
  from_index,
  load,
  lookup,
  to_index,
)

__all__ = [
  "NUM_CELLS",
  "Entry",
  "Score",
  "Table",
  "from_index",
  "load",
  "lookup",
  "to_index",
]
