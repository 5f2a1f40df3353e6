"""The text form in which DARTS and its successors print genotypes.

  Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6),
           reduce=[...], reduce_concat=range(2, 6))

Two consecutive pairs are a node. Source: DARTS (arXiv:1806.09055), the
authors' genotypes.py.
"""

import ast
import itertools
import re
import reprlib
from collections.abc import Collection
from typing import Any

from jnas.genotype.cell import Cell, Genotype, read_list

# What hides brackets, strings and comments, or is one.
_BRACKETS = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|#[^\n]*|[()]""")


def to_darts(genotype: Genotype) -> str:
  """The text form of DARTS, on one line, as Python code.

  Raises:
    ValueError: the form cannot hold this genotype.
  """
  if genotype.reduce is None:
    raise ValueError("the DARTS form needs a reduction cell; use JSON")
  fields = []
  for cell_type, cell in genotype.cells().items():
    if cell.num_inputs != 2:
      raise ValueError(
        f"{cell_type}: {cell.num_inputs} cell inputs, the DARTS form has 2;"
        " use JSON"
      )
    for n, node in enumerate(cell.nodes):
      if len(node) != 2:
        raise ValueError(
          f"{cell_type}.nodes[{n}]: {len(node)} connections, the DARTS form"
          " has exactly 2 a node; use JSON"
        )
    pairs = [pair for node in cell.nodes for pair in node]
    if _lists_all_edges(pairs, cell.concat):
      raise ValueError(
        f"{cell_type}: the DARTS form of this cell reads as the list of all"
        " edges of a smaller one; use JSON"
      )
    concat = list(cell.concat)
    span = range(concat[0], concat[0] + len(concat))
    fields.append(f"{cell_type}={pairs}")
    fields.append(
      f"{cell_type}_concat={span if concat == list(span) else concat}"
    )
  return f"Genotype({', '.join(fields)})"


def from_darts(text: str) -> Genotype:
  """Reads the text form of DARTS; what surrounds `Genotype(...)` may stay.

  Two consecutive pairs are a node. The form in which SNAS publishes its cells
  is taken too: every edge of the cell listed, 2 for the first node, 3 for the
  second and so on, those with `none` being absent.
  """
  fields = _read_call(text)
  cells = {}
  for cell_type in ("normal", "reduce"):
    pairs = read_list(fields[cell_type], cell_type)
    concat = read_list(fields[f"{cell_type}_concat"], f"{cell_type}_concat")
    for i, pair in enumerate(pairs):
      if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError(
          f"{cell_type}[{i}]: expected (operation, source), found"
          f" {reprlib.repr(pair)}"
        )
    try:
      cells[cell_type] = Cell(_split_pairs(pairs, concat), tuple(concat))
    except ValueError as error:
      raise ValueError(f"{cell_type}.{error}") from None
  return Genotype(**cells)


def _read_call(text: str) -> dict[str, Any]:
  """The four arguments of the one `Genotype(...)` in a text, as values."""
  names = ("normal", "normal_concat", "reduce", "reduce_concat")
  calls = [match.start() for match in re.finditer(r"\bGenotype\(", text)]
  if len(calls) != 1:
    raise ValueError(f"expected one 'Genotype(...)', found {len(calls)}")
  body = text[calls[0] :]
  try:
    call = ast.parse(body[: _closing_bracket(body) + 1], mode="eval").body
  except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
    fault = getattr(error, "msg", error)
    raise ValueError(f"not a genotype in the DARTS form: {fault}") from None
  if not isinstance(call, ast.Call) or len(call.args) > len(names):
    raise ValueError(f"not a genotype in the DARTS form: {body[:80]!r}")
  fields = dict(zip(names, call.args, strict=False))
  for keyword in call.keywords:
    if keyword.arg not in names or keyword.arg in fields:
      raise ValueError(
        f"Genotype(...): unexpected argument {keyword.arg!r}; it takes each"
        f" of {names} once"
      )
    fields[keyword.arg] = keyword.value
  for name in names:
    if name not in fields:
      raise ValueError(f"Genotype(...): {name!r} is missing")
  return {name: _read_value(node, name) for name, node in fields.items()}


def _closing_bracket(text: str) -> int:
  """Where the first bracket of a text is closed, if it is."""
  depth = 0
  for match in _BRACKETS.finditer(text):
    depth += {"(": 1, ")": -1}.get(match[0], 0)
    if match[0] == ")" and depth == 0:
      return match.start()
  return len(text)


def _read_value(node: ast.expr, name: str) -> Any:
  """A literal, or `range(...)` or `list(range(...))` of literals."""
  if (
    isinstance(node, ast.Call)
    and isinstance(node.func, ast.Name)
    and node.func.id in ("range", "list", "tuple")
    and not node.keywords
    and node.args
  ):
    values = [_read_value(argument, name) for argument in node.args]
    if node.func.id != "range":
      return read_list(values[0], name)
    try:
      span = range(*values)
    except (TypeError, ValueError) as error:
      raise ValueError(f"{name}: {ast.unparse(node)}: {error}") from None
    if len(span) > 1000:
      raise ValueError(f"{name}: {span} has {len(span)} nodes")
    return list(span)
  try:
    return ast.literal_eval(node)
  except ValueError:
    raise ValueError(
      f"{name}: {ast.unparse(node)[:80]!r} is neither a list of literals"
      " nor a range"
    ) from None


def _split_pairs(pairs: list[Any], concat: list[Any]) -> Any:
  """Connections by node, from a flat list."""
  if _lists_all_edges(pairs, concat):
    rest = iter(pairs)
    nodes = [list(itertools.islice(rest, node)) for node in concat]
    return [[pair for pair in node if pair[0] != "none"] for node in nodes]
  if len(pairs) % 2:
    raise ValueError(
      f"nodes: {len(pairs)} pairs; the DARTS form has two for each node"
    )
  return [pairs[i : i + 2] for i in range(0, len(pairs), 2)]


def _lists_all_edges(pairs: list[Any], concat: Collection[Any]) -> bool:
  """True for node 2 with its 2 edges, node 3 with its 3, and so on."""
  num_nodes = len(concat)
  if num_nodes < 2 or list(concat) != list(range(2, 2 + num_nodes)):
    return False
  sources = [source for _, source in pairs]
  every = [source for node in concat for source in range(node)]
  if len(sources) != len(every):
    return False
  starts = [start for start, source in enumerate(every) if source == 0]
  return all(
    set(sources[start : start + node]) == set(range(node))
    for node, start in zip(concat, starts, strict=True)
  )
