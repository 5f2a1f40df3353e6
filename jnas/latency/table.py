"""The latency of a space's networks on one device, as a file.

Two models of one network's latency, both linear in its connections: operations
timed alone and added up, with what the network takes besides; and a regression
on sampled networks, timed whole. How far both are from networks compiled for
themselves is part of the table.

Source: UNAS, Sec. 5; SPEC 3.9, "surrogate g".
"""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

FORMAT = "jnas.latency/1"


@dataclasses.dataclass(frozen=True)
class Table:
  """Latencies in milliseconds of one batch, forward.

  Attributes:
    space: name of the search space.
    network: layout that was timed: cells, channels, stem, image and classes.
    batch_size: images in a batch.
    dtype: of the activations.
    device: what it was timed on; see `describe_device`.
    repeats: runs of each program, of which the median counts.
    layers: in order; of each, `cell_type`, `rows`, the first row and the number
      of rows of the weights that it stands for, and `median_ms` and
      `spread_ms`, a list for each row of a number for each operation.
    rest_ms: what a network takes besides its operations timed alone.
    coefficients: of the regression, for each cell type `[E, K]` lists.
    bias: of the regression.
    correction: `scale` and `offset` from the program that branches to a
      network compiled for itself.
    errors: what the models are worth; see `pipeline.latency_build`.
    compiled: networks compiled for themselves, with what each model says.
  """

  space: str
  network: Mapping[str, Any]
  batch_size: int
  dtype: str
  device: Mapping[str, str]
  repeats: int
  layers: tuple[Mapping[str, Any], ...]
  rest_ms: float
  coefficients: Mapping[str, Any]
  bias: float
  correction: Mapping[str, float]
  errors: Mapping[str, float]
  compiled: tuple[Mapping[str, Any], ...]

  def operations(self) -> dict[str, np.ndarray]:
    """`[E, K]` of each cell type: operations timed alone, over all layers."""
    return add_layers(self.layers, self.shapes())

  def shapes(self) -> dict[str, tuple[int, int]]:
    """Edges and operations of each cell type."""
    return {
      name: (len(rows), len(rows[0]))
      for name, rows in self.coefficients.items()
    }


def add_layers(
  layers: tuple[Mapping[str, Any], ...], shapes: Mapping[str, tuple[int, int]]
) -> dict[str, np.ndarray]:
  """`[E, K]` of each cell type: the layers' medians, added up."""
  totals = {name: np.zeros(shape) for name, shape in shapes.items()}
  for layer in layers:
    first, count = layer["rows"]
    for row, values in enumerate(layer["median_ms"]):
      into = totals[layer["cell_type"]][first + row]
      into[: len(values)] += values
    if len(layer["median_ms"]) != count:
      raise ValueError(f"rows {first}, {count} with other latencies")
  return totals


def save(path: str | os.PathLike[str], table: Table) -> None:
  """Writes a table as JSON.

  Raises:
    OSError: if the file cannot be written.
  """
  text = json.dumps(
    {"format": FORMAT, "unit": "ms", **dataclasses.asdict(table)}
  )
  pathlib.Path(path).write_text(text + "\n")


def load(path: str | os.PathLike[str]) -> Table:
  """Reads a table.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is not a table, in one line.
  """
  try:
    fields = json.loads(pathlib.Path(path).read_text())
  except FileNotFoundError:
    raise FileNotFoundError(
      f"no latency table {os.fspath(path)}; `jnas latency build` makes one"
    ) from None
  except (UnicodeDecodeError, json.JSONDecodeError) as error:
    raise ValueError(f"{path}: not JSON: {error}") from None
  if not isinstance(fields, dict) or fields.get("format") != FORMAT:
    found = fields.get("format") if isinstance(fields, dict) else fields
    raise ValueError(f"{path}: format is {found!r}; it must be {FORMAT!r}")
  names = [field.name for field in dataclasses.fields(Table)]
  missing = [name for name in names if name not in fields]
  if missing:
    raise ValueError(f"{path}: no {', '.join(missing)}")
  values = {name: fields[name] for name in names}
  for name in ("layers", "compiled"):
    values[name] = tuple(values[name])
  table = Table(**values)
  try:
    _check(table)
  except (TypeError, ValueError, KeyError, IndexError) as error:
    reason = " ".join(str(error).split())
    raise ValueError(f"{path}: not a latency table: {reason}") from None
  return table


def _check(table: Table) -> None:
  """Refuses numbers that no latency has."""
  if type(table.batch_size) is not int or table.batch_size < 1:
    raise ValueError(f"batch_size is {table.batch_size!r}")
  scale, offset = table.correction["scale"], table.correction["offset"]
  for name, value in (
    ("rest_ms", table.rest_ms),
    ("bias", table.bias),
    ("scale", scale),
    ("offset", offset),
  ):
    if not math.isfinite(value):
      raise ValueError(f"{name} is {value!r}")
  for name, shape in table.shapes().items():
    rows = np.asarray(table.coefficients[name], np.float64)
    if rows.shape != shape or not np.isfinite(rows).all():
      raise ValueError(f"coefficients of {name!r}")
  for name, rows in table.operations().items():
    if not (np.isfinite(rows).all() and (rows >= 0).all()):
      raise ValueError(f"a latency of {name!r} is negative or not finite")
