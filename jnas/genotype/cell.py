"""Cells and genotypes as values, and what makes one well formed."""

import collections
import dataclasses
import difflib
import operator
import reprlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

# One incoming connection of a node: operation name, index of the source node.
Connection = tuple[str, int]

# Operations without weights: a cell of these alone has nothing to train. A
# strided skip has a few, but is what a collapsed search ends with.
PARAMETER_FREE_OPS = frozenset(
  {"none", "noise", "skip_connect", "max_pool_3x3", "avg_pool_3x3"}
)


@dataclasses.dataclass(frozen=True)
class Cell:
  """One discrete cell.

  Nodes are numbered as in DARTS: the cell's inputs first (0 .. num_inputs-1),
  then the intermediate nodes. `nodes[n]` belongs to node `num_inputs + n`.
  Any sequences and integers are taken; tuples and ints are kept. What is not
  a cell (a cycle, a node that does not exist) raises ValueError.

  Attributes:
    nodes: for each intermediate node its incoming connections, in order. A
      node may have any number of them, none included (a zero tensor), and may
      take the same source more than once.
    concat: nodes concatenated over channels to make the cell's output.
    num_inputs: input nodes of the cell, 2 in DARTS, 1 in NAS-Bench-201.
  """

  nodes: tuple[tuple[Connection, ...], ...]
  concat: tuple[int, ...]
  num_inputs: int = 2

  def __post_init__(self):
    num_inputs = _read_integer(self.num_inputs, "num_inputs")
    if num_inputs < 1:
      raise ValueError(f"num_inputs: {num_inputs} is below 1")
    listed = read_list(self.nodes, "nodes")
    last = num_inputs + len(listed) - 1
    nodes = tuple(
      tuple(
        _read_connection(connection, num_inputs + n, last, f"nodes[{n}][{i}]")
        for i, connection in enumerate(read_list(node, f"nodes[{n}]"))
      )
      for n, node in enumerate(listed)
    )
    concat = _read_concat(self.concat, num_inputs, last)
    object.__setattr__(self, "num_inputs", num_inputs)
    object.__setattr__(self, "nodes", nodes)
    object.__setattr__(self, "concat", concat)

  def connections(self) -> Iterator[tuple[int, int, str]]:
    """Yields (source, target, operation), target by target, in order."""
    for n, node in enumerate(self.nodes):
      for op, source in node:
        yield source, self.num_inputs + n, op

  def op_counts(self) -> dict[str, int]:
    """Connections of each operation; those that do not occur are left out."""
    return dict(collections.Counter(op for _, _, op in self.connections()))

  def skip_share(self) -> float:
    """Share of skip_connect among the connections, 0 if there is none."""
    counts = self.op_counts()
    return counts.get("skip_connect", 0) / max(1, sum(counts.values()))

  def is_connected(self) -> bool:
    """True if the output depends on an input; `none` carries nothing."""
    reached = set(range(self.num_inputs))
    for source, target, op in self.connections():
      if op != "none" and source in reached:
        reached.add(target)
    return any(node in reached for node in self.concat)

  def has_parameters(self) -> bool:
    """True if any operation has weights of its own."""
    return any(op not in PARAMETER_FREE_OPS for op in self.op_counts())


@dataclasses.dataclass(frozen=True)
class Genotype:
  """A pair of cells, or one cell type alone.

  Attributes:
    normal: the cell that keeps the resolution.
    reduce: the cell that halves it; None in spaces with one cell type.
    space: name of the search space it comes from, if known; a note, which
      two equal genotypes may disagree on.
    origin: where it comes from, as the file that it was read from tells; a
      note likewise.
  """

  normal: Cell
  reduce: Cell | None = None
  space: str | None = dataclasses.field(default=None, compare=False)
  origin: Mapping[str, Any] | None = dataclasses.field(
    default=None, compare=False, repr=False
  )

  def cells(self) -> dict[str, Cell]:
    """The cells by type: normal, and reduce where there is one."""
    if self.reduce is None:
      return {"normal": self.normal}
    return {"normal": self.normal, "reduce": self.reduce}


def validate(genotype: Genotype, *, known_ops: Collection[str]) -> None:
  """Raises ValueError at the first operation that is not a known one.

  Names with a colon, such as "my_lab.ops:Involution", are left to whoever
  imports them. All else that can be wrong was refused when the cell was made.
  """
  for cell_type, cell in genotype.cells().items():
    for n, node in enumerate(cell.nodes):
      for i, (op, _) in enumerate(node):
        if op in known_ops or ":" in op:
          continue
        guess = nearest(op, known_ops)
        raise ValueError(
          f"{cell_type}.nodes[{n}][{i}]: unknown operation {op!r}; "
          + (f"did you mean {guess!r}? " if guess else "")
          + f"known are {', '.join(sorted(known_ops))}"
        )


def nearest(name: str, known: Collection[str]) -> str | None:
  """The known name most like a misspelt one, if any is."""
  by_lower = {candidate.lower(): candidate for candidate in known}
  found = difflib.get_close_matches(name.lower(), by_lower, n=1)
  return by_lower[found[0]] if found else None


def read_list(value: Any, place: str) -> list[Any]:
  """The items of a list, a tuple or a range; others are refused."""
  if isinstance(value, list | tuple | range):
    return list(value)
  raise ValueError(f"{place}: expected a list, found {reprlib.repr(value)}")


def _read_integer(value: Any, place: str) -> int:
  try:
    if not isinstance(value, bool):
      return operator.index(value)
  except TypeError:
    pass
  raise ValueError(
    f"{place}: expected a whole number, found {reprlib.repr(value)}"
  )


def _read_connection(
  value: Any, node: int, last: int, place: str
) -> Connection:
  """One (operation, source) pair of a node, checked; `last` is the last."""
  if not isinstance(value, list | tuple) or len(value) != 2:
    raise ValueError(
      f"{place}: expected (operation, source), found {reprlib.repr(value)}"
    )
  op = value[0]
  if not isinstance(op, str) or not op:
    raise ValueError(
      f"{place}: expected an operation's name, found {reprlib.repr(op)}"
    )
  source = _read_integer(value[1], place)
  if 0 <= source < node:
    return str(op), source
  fault = "makes a cycle" if 0 <= source <= last else "does not exist"
  raise ValueError(
    f"{place}: node {node} takes node {source}, which {fault}; it may take"
    f" nodes 0 to {node - 1}"
  )


def _read_concat(value: Any, num_inputs: int, last: int) -> tuple[int, ...]:
  """The nodes that make the output, checked."""
  concat = tuple(_read_integer(n, "concat") for n in read_list(value, "concat"))
  if not concat:
    raise ValueError("concat: no nodes, so the cell has no output")
  for node in concat:
    if not num_inputs <= node <= last:
      raise ValueError(
        f"concat: node {node} is not one of the cell's own nodes,"
        f" {num_inputs} to {last}"
      )
  if len(set(concat)) != len(concat):
    raise ValueError(f"concat: a node occurs twice in {list(concat)}")
  return concat
