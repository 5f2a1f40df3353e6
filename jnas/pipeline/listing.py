"""What can be named in a config or on the command line, with a line on each.

The lines are first sentences of docstrings, or counted: a new entry of a table
needs no text here.
"""

import ast
import collections
import inspect
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from jnas import config as configs
from jnas import data, methods, ops, selection, spaces
from jnas import genotype as genotypes
from jnas.data import base, segmentation, tfds
from jnas.ops.base import Settings, Shape

# Where operations are counted: the first cell of a search on CIFAR.
_SHAPE = Shape(32, 32, 16)


def describe(what: str) -> dict[str, str]:
  """A line on each entry of a table.

  Args:
    what: of `TABLES`.

  Returns:
    Name to one line of text.
  """
  entries, line = TABLES[what]
  return {name: line(entry) for name, entry in entries().items()}


def _first_line(text: str | None) -> str:
  return inspect.cleandoc(text or "").partition("\n")[0]


def _config(path: pathlib.Path) -> str:
  """What a config says of itself; it is not run."""
  tree = ast.parse(path.read_text(encoding="utf-8"))
  return _first_line(ast.get_docstring(tree))


def _module(thing: Any) -> str:
  """What the module says of itself that a function or class is from."""
  thing = getattr(thing, "func", thing)  # of functools.partial
  return _first_line(sys.modules[thing.__module__].__doc__)


def _dataset(source: base.Source) -> str:
  name = next(iter(getattr(source.load, "args", ())), None)
  if name not in tfds.PUBLISHED:
    return _module(source.load)
  info = tfds.PUBLISHED[name].info
  sizes = f"{info.num_train:,} and {info.num_test:,} images"
  return f"{sizes}, {info.num_classes:,} classes; prepared by TFDS"


def _op(op: ops.Op) -> str:
  cost = op.cost(_SHAPE, 1, Settings(affine=False, pool_norm=True))
  return (
    f"{cost.params:,} parameters, {cost.madds / 1e6:.2f} M multiply-adds on "
    f"{_SHAPE.channels} channels of {_SHAPE.height}x{_SHAPE.width}"
  )


def _space(space: spaces.Space) -> str:
  parts = []
  for name, edges in space.ops.items():
    sizes = sorted({len(names) for names in edges})
    shown = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    parts.append(
      f"{name}: {len(edges)} {'layers' if space.chain else 'edges'} of {shown} "
      "operations"
    )
  return "; ".join(parts)


def _cell(name: str) -> str:
  parts = []
  for cell_type, cell in genotypes.parse(name).cells().items():
    counts = collections.Counter(op for _, _, op in cell.connections())
    found = ", ".join(f"{count} {op}" for op, count in counts.most_common())
    parts.append(f"{cell_type}: {found}")
  return "; ".join(parts)


TABLES: Mapping[
  str, tuple[Callable[[], Mapping[str, Any]], Callable[[Any], str]]
] = {
  "methods": (
    lambda: methods.METHODS,
    lambda method: _module(method.settings),
  ),
  "spaces": (lambda: spaces.SPACES, _space),
  "ops": (lambda: ops.OPS, _op),
  "selectors": (
    lambda: selection.SELECTORS,
    lambda selector: _first_line(selector.__doc__),
  ),
  "datasets": (lambda: data.DATASETS, _dataset),
  "masks": (lambda: segmentation.MASKED, lambda masks: _module(masks.load)),
  "configs": (configs.shipped, _config),
  "cells": (lambda: {name: name for name in genotypes.published()}, _cell),
}
