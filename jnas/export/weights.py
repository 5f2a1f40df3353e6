"""The trained arrays of a derived network, in plain layouts and names.

jnas stacks the parameters of all edges that an operation serves. Outside, each
connection has arrays of its own, `params/cell_0/node_2_1_sep_conv_3x3/...` for
the second connection of node 2, and convolutions have kernels
`[height, width, in, out]`.
"""

import importlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from jnas.genotype import Cell, Genotype
from jnas.nets import graph, segmenter
from jnas.types import PyTree

COLLECTIONS = ("params", "batch_stats")


class Entry(NamedTuple):
  """One exported array.

  Attributes:
    name: outside.
    path: of the leaf in jnas's variables.
    row: of the leaf's leading axis; None for the whole leaf.
  """

  name: str
  path: tuple[str, ...]
  row: int | None


def connection_name(target: int, position: int, op: str) -> str:
  """Name of the submodule of a node's connection."""
  return f"node_{target}_{position}_{graph.module_name(op)}"


def flatten(
  variables: Mapping[str, PyTree], genotype: Genotype, plan: Any
) -> dict[str, np.ndarray]:
  """The exported arrays by name; the auxiliary head is left out.

  Args:
    variables: of the derived network, `params` and `batch_stats`.
    genotype: of the network.
    plan: of the network, of any family.
  """
  leaves = _leaves(variables)
  flat = {}
  for name, path, row in _entries(leaves, genotype, plan):
    leaf = np.asarray(leaves[path])
    flat[name] = leaf if row is None else _spread(path, leaf[row])
  return flat


def restore(
  flat: Mapping[str, np.ndarray],
  variables: Mapping[str, PyTree],
  genotype: Genotype,
  plan: Any,
) -> dict[str, PyTree]:
  """Variables with every leaf that `flatten` exports taken from `flat`.

  Args:
    flat: exported arrays.
    variables: as for `flatten`; only their structure and shapes count.
    genotype: as for `flatten`.
    plan: as for `flatten`.
  """
  leaves = _leaves(variables)
  found = {
    path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in leaves.items()
  }
  for name, path, row in _entries(leaves, genotype, plan):
    place = found[path] if row is None else found[path][row]
    place[...] = flat[name].reshape(place.shape)
  return traverse_util.unflatten_dict(found)


def write_npz(path: pathlib.Path, flat: Mapping[str, np.ndarray]) -> None:
  """Writes the arrays as NumPy's archive."""
  arrays: dict[str, Any] = dict(flat)
  with path.open("wb") as file:
    np.savez(file, **arrays)


def read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads what `write_npz` wrote."""
  with np.load(path, allow_pickle=False) as file:
    return {name: file[name] for name in file.files}


def write_safetensors(
  path: pathlib.Path, flat: Mapping[str, np.ndarray]
) -> None:
  """Writes the arrays as safetensors; needs the package of that name."""
  safetensors = importlib.import_module("safetensors.numpy")
  # Only what is contiguous is written as it is.
  arrays = {name: np.ascontiguousarray(value) for name, value in flat.items()}
  # As bytes: `save_file` makes files that nobody else may read.
  path.write_bytes(
    safetensors.save(arrays, metadata={"format": "jnas", "layout": "HWIO"})
  )


def read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads what `write_safetensors` wrote."""
  safetensors = importlib.import_module("safetensors.numpy")
  return safetensors.load_file(path)


def _leaves(variables: Mapping[str, PyTree]) -> dict[tuple[str, ...], Any]:
  return dict(traverse_util.flatten_dict(dict(variables)))


def _entries(
  leaves: Mapping[tuple[str, ...], Any], genotype: Genotype, plan: Any
) -> Iterator[Entry]:
  rows = {name: _rows(cell) for name, cell in genotype.cells().items()}
  for path in leaves:
    collection, first, *rest = path
    if collection not in COLLECTIONS or first == "auxiliary":
      continue
    if "classifier" in path or first == segmenter.HEAD:
      yield Entry("/".join(path), path, None)
      continue
    # A reduction is the only module in its place.
    rest = [part for part in rest if part != "reduce"]
    if first.startswith("cell_") and rest[0].startswith("node_"):
      cell_type = plan.cells[int(first.removeprefix("cell_"))].cell_type
      node, op, *inner = rest
      for row, name in enumerate(rows[cell_type][node, op]):
        yield Entry("/".join((collection, first, name, *inner)), path, row)
      continue
    if first.startswith("layer_"):
      del rest[0]  # a layer of a chain has one block
    yield Entry("/".join((collection, first, *rest)), path, 0)


def _rows(cell: Cell) -> dict[tuple[str, str], list[str]]:
  """By source's module and operation's, the names of the stacked edges."""
  found: dict[tuple[str, str], list[str]] = {}
  for n, node in enumerate(cell.nodes):
    for position, (op, source) in enumerate(node):
      name = connection_name(cell.num_inputs + n, position, op)
      key = graph.node_name(source), graph.module_name(op)
      found.setdefault(key, []).append(name)
  return found


def _spread(path: tuple[str, ...], value: np.ndarray) -> np.ndarray:
  """A kernel as `[height, width, in, out]`; all else as it is."""
  if path[-1] != "kernel":
    return value
  if value.ndim == 3:  # depthwise
    return value[:, :, None]
  return value[None, None] if value.ndim == 2 else value
