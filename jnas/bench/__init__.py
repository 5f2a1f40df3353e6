"""Benchmarks that hold the accuracies of every cell of a space."""

from jnas.bench.nasbench201 import (
  Entry,
  complete,
  from_index,
  lookup,
  to_index,
)
from jnas.bench.nasbench201_table import NUM_CELLS, Score, Table, load

__all__ = [
  "NUM_CELLS",
  "Entry",
  "Score",
  "Table",
  "complete",
  "from_index",
  "load",
  "lookup",
  "to_index",
]
