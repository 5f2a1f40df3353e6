"""What the devices of a compiled step tell each other, read from its HLO.

The compiler puts these in by itself, from how arrays are shared out: see
`sharding.py`. So what is counted is what runs.
"""

import re
from typing import NamedTuple

_BITS = {"pred": 8, "s4": 4, "u4": 4}
# `%name (parameters) -> shape {` and `ENTRY %name ...`.
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
# `  ROOT %name = shape op(...)`, the shape of several results in parentheses.
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (.+?) ([a-z][\w\-]*)\(")
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\]")
_OTHERS = ("all-gather", "all-to-all", "collective-permute", "reduce-scatter")


class Traffic(NamedTuple):
  """What a device sends in a step.

  Attributes:
    calls: all-reduces, of one array or of several at once.
    num_bytes: of the arrays that are all-reduced.
    others: calls of other kinds, of which there should be none.
  """

  calls: int = 0
  num_bytes: int = 0
  others: int = 0

  def plus(self, other: "Traffic", times: int = 1) -> "Traffic":
    """The sum with so many times another."""
    return Traffic(*(a + times * b for a, b in zip(self, other, strict=True)))


def count(hlo: str) -> Traffic:
  """The traffic of a compiled module.

  A loop counts as often as it runs, once where that is not known; of the
  branches of a conditional the one with the most bytes counts.

  Args:
    hlo: `jax.stages.Compiled.as_text()`.

  Raises:
    ValueError: it is not the text of a module.
  """
  computations, entry = _split(hlo)
  if entry is None:
    raise ValueError("no ENTRY in the text of the compiled program")
  known: dict[str, Traffic] = {}

  def of(name: str) -> Traffic:
    if name not in known:
      total = Traffic()
      for line in computations.get(name, ()):
        total = total.plus(_own(line))
        total = _add_called(total, line)
      known[name] = total
    return known[name]

  def _add_called(total: Traffic, line: str) -> Traffic:
    match = _INSTRUCTION.match(line)
    op = match[2] if match else ""
    if op == "while":
      trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
      for name in _names(line, "body", "condition"):
        total = total.plus(of(name), int(trips[1]) if trips else 1)
    elif op == "conditional":
      names = _names(
        line, "branch_computations", "true_computation", "false_computation"
      )
      branches = [of(name) for name in names]
      total = total.plus(max(branches, key=lambda branch: branch.num_bytes))
    elif op in ("call", "async-start"):
      for name in _names(line, "to_apply", "calls"):
        total = total.plus(of(name))
    return total

  return of(entry)


def _split(hlo: str) -> tuple[dict[str, list[str]], str | None]:
  """Lines of each computation that may matter, and the name of the entry."""
  computations: dict[str, list[str]] = {}
  entry, lines = None, []
  for line in hlo.splitlines():
    if match := _COMPUTATION.match(line):
      lines = computations.setdefault(match[2], [])
      entry = match[2] if match[1] else entry
    elif _INSTRUCTION.match(line):
      lines.append(line)
  return computations, entry


def _own(line: str) -> Traffic:
  match = _INSTRUCTION.match(line)
  assert match is not None
  op = match[2].removesuffix("-start")
  if op == "all-reduce":
    return Traffic(1, _num_bytes(match[1]))
  return Traffic(others=int(op in _OTHERS))


def _num_bytes(shape: str) -> int:
  total = 0
  for dtype, axes in _ARRAY.findall(shape):
    bits = _BITS.get(dtype) or int(
      re.sub(r"^[a-z]+", "", dtype)[:2].rstrip("e")
    )
    size = bits
    for axis in filter(None, axes.split(",")):
      size *= int(axis)
    total += -(-size // 8)
  return total


def _names(line: str, *attributes: str) -> list[str]:
  """The computations that an instruction names by its attributes."""
  found = []
  for attribute in attributes:
    if match := re.search(rf"\b{attribute}=(\{{[^}}]*\}}|%?[\w.\-]+)", line):
      found += [
        name.strip().lstrip("%") for name in match[1].strip("{}").split(",")
      ]
  return found
