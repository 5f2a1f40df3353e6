"""NAS-Bench-201 cells as strings and numbers.

A cell has one input and three nodes, each taking every earlier node; the last
node is its output. Source: NAS-Bench-201 (arXiv:2001.00326).
"""

import re
import reprlib

from jnas.genotype.cell import Cell, Connection, Genotype

NASBENCH201_OPS = (
  "none",
  "skip_connect",
  "nor_conv_1x1",
  "nor_conv_3x3",
  "avg_pool_3x3",
)
_NASBENCH201_NODES = 3
_OP_NAME = r"[^|~+\s]+"


def to_nasbench201(genotype: Genotype) -> str:
  """The string that NAS-Bench-201 knows a cell by."""
  for op in _nasbench201_ops(genotype):
    if not re.fullmatch(_OP_NAME, op):
      raise ValueError(f"{op!r} cannot be written in a NAS-Bench-201 string")
  return "+".join(
    "|" + "".join(f"{op}~{source}|" for op, source in node)
    for node in genotype.normal.nodes
  )


def from_nasbench201(text: str) -> Genotype:
  """Reads a NAS-Bench-201 string; `none` connections are kept."""
  texts = text.strip().split("+")
  if len(texts) != _NASBENCH201_NODES:
    raise ValueError(
      f"a NAS-Bench-201 string has {_NASBENCH201_NODES} nodes, this has"
      f" {len(texts)}: {reprlib.repr(text.strip())}"
    )
  nodes = []
  for n, node in enumerate(texts, start=1):
    expected = "".join(rf"\|({_OP_NAME})~{source}" for source in range(n))
    found = re.fullmatch(expected + r"\|", node)
    if not found:
      raise ValueError(
        f"node {n} of a NAS-Bench-201 string: expected "
        + "".join(f"|op~{source}" for source in range(n))
        + f"|, found {reprlib.repr(node)}"
      )
    nodes.append([(op, source) for source, op in enumerate(found.groups())])
  return _nasbench201_genotype(nodes)


def to_nasbench201_index(genotype: Genotype) -> int:
  """Number of a cell, 0 to 15,624, in jnas's own order.

  The operations' positions in `NASBENCH201_OPS` are the digits in base 5, the
  first edge the most significant. It is not the index of the benchmark's files.
  """
  index = 0
  for op in _nasbench201_ops(genotype):
    if op not in NASBENCH201_OPS:
      raise ValueError(
        f"{op!r} is not an operation of NAS-Bench-201: {NASBENCH201_OPS}"
      )
    index = index * len(NASBENCH201_OPS) + NASBENCH201_OPS.index(op)
  return index


def from_nasbench201_index(index: int) -> Genotype:
  """The cell of a number that `to_nasbench201_index` gives."""
  base, num_edges = len(NASBENCH201_OPS), 6
  if not 0 <= index < base**num_edges:
    raise ValueError(f"index {index} is not in 0 to {base**num_edges - 1}")
  digits = [index // base**e % base for e in reversed(range(num_edges))]
  ops = iter(NASBENCH201_OPS[digit] for digit in digits)
  return _nasbench201_genotype(
    [
      [(next(ops), source) for source in range(n)]
      for n in range(1, _NASBENCH201_NODES + 1)
    ]
  )


def _nasbench201_ops(genotype: Genotype) -> list[str]:
  """The operations of a cell's six edges, in the order of the string."""
  cell = genotype.normal
  sources = tuple(tuple(i for _, i in node) for node in cell.nodes)
  expected = tuple(tuple(range(n + 1)) for n in range(_NASBENCH201_NODES))
  if (
    genotype.reduce is not None
    or cell.num_inputs != 1
    or sources != expected
    or cell.concat != (_NASBENCH201_NODES,)
  ):
    raise ValueError(
      "not a NAS-Bench-201 cell: it has one cell type with one input and"
      f" {_NASBENCH201_NODES} nodes, each taking every earlier node once, in"
      " order, the last node being the output"
    )
  return [op for _, _, op in cell.connections()]


def _nasbench201_genotype(nodes: list[list[Connection]]) -> Genotype:
  cell = Cell(
    tuple(tuple(node) for node in nodes), (_NASBENCH201_NODES,), num_inputs=1
  )
  return Genotype(cell, space="nasbench201")
