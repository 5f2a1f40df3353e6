"""Genotypes in files: JSON, the published cells, and one entry for any form."""

import dataclasses
import json
import os
import pathlib
import reprlib
import tempfile
from collections.abc import Collection, Mapping
from typing import Any

from jnas.genotype import darts_text, nasbench201
from jnas.genotype.cell import Cell, Genotype, nearest

FORMAT = "jnas.genotype/1"
_CELLS_FOLDER = pathlib.Path(__file__).parents[1] / "cells"
_TOP_KEYS = ("format", "space", "normal", "reduce", "provenance", "source")
_CELL_KEYS = ("num_inputs", "nodes", "concat")


def parse(text: str | os.PathLike[str]) -> Genotype:
  """The genotype that a name, a path or a text stands for.

  Args:
    text: a published cell's name (it goes before a file of that name), a file
      holding any of the written forms, or such a form itself.
  """
  name = os.fspath(text).strip()
  if name in published():
    genotype = load(_CELLS_FOLDER / f"{name}.json")
    return dataclasses.replace(genotype, origin={"cell": name})
  if name.startswith(("{", "|")) or "Genotype(" in name:
    return _parse_form(name)
  # A longer text is no path, and asking for one of that length is an error.
  if 0 < len(name) < 1000 and pathlib.Path(name).exists():
    return load(name)
  guess = nearest(name, published())
  raise ValueError(
    f"{reprlib.repr(name)} is no file, no genotype text and no published cell"
    + (f"; did you mean {guess}?" if guess else f" ({', '.join(published())})")
  )


def load(path: str | os.PathLike[str]) -> Genotype:
  """Reads a genotype file in any of the written forms.

  Its origin names the file, beside the provenance in it.
  """
  text = _read_text(path)
  try:
    genotype = _parse_form(text)
  except ValueError as error:
    raise ValueError(f"{os.fspath(path)}: {error}") from None
  origin = {"file": os.fspath(path), **(genotype.origin or {})}
  return dataclasses.replace(genotype, origin=origin)


def save(
  path: str | os.PathLike[str],
  genotype: Genotype,
  provenance: Mapping[str, Any] | None = None,
) -> None:
  """Writes a genotype as JSON, whole or not at all.

  Args:
    path: the file; one that exists is replaced.
    genotype: what to write.
    provenance: where it comes from (config hash, seed, step, ...), kept beside
      it; values that JSON can hold.

  Raises:
    OSError: the file could not be written, and says so in one line.
  """
  path = pathlib.Path(path)
  try:
    _write_whole(path, to_json(genotype, provenance))
  except OSError as error:
    failure = OSError(f"cannot write {path}: {error.strerror}")
    failure.errno = error.errno
    raise failure from error


def _write_whole(path: pathlib.Path, text: str) -> None:
  handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
  try:
    with os.fdopen(handle, "w", encoding="utf-8") as file:
      file.write(text)
      file.flush()
      os.fsync(file.fileno())
    # mkstemp's files are private; a result should be as readable as any other.
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(name, 0o666 & ~mask)
    os.replace(name, path)
  except BaseException:
    pathlib.Path(name).unlink(missing_ok=True)
    raise


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
  """Where a genotype file comes from; empty if it does not say."""
  load(path)  # refuses what is not a genotype
  text = _read_text(path).strip()
  if not text.startswith("{"):
    return {}
  return json.loads(text).get("provenance", {})


def published() -> tuple[str, ...]:
  """Names of the published cells that come with jnas, sorted."""
  names = (path.stem for path in _CELLS_FOLDER.glob("*.json"))
  return tuple(sorted(names, key=str.lower))


def published_source(name: str) -> str:
  """The paper a published cell is from and what the paper claims for it."""
  if name not in published():
    raise ValueError(f"{name!r} is not one of the cells {published()}")
  return json.loads(_read_text(_CELLS_FOLDER / f"{name}.json"))["source"]


def to_dict(genotype: Genotype) -> dict[str, Any]:
  """The genotype as plain values, ready for JSON."""
  return {
    "format": FORMAT,
    **({"space": genotype.space} if genotype.space else {}),
    "normal": _cell_to_dict(genotype.normal),
    "reduce": genotype.reduce and _cell_to_dict(genotype.reduce),
  }


def from_dict(data: Any) -> Genotype:
  """The genotype in plain values; errors name the place."""
  _check_keys(data, "genotype", _TOP_KEYS, required=("format", "normal"))
  if data["format"] != FORMAT:
    raise ValueError(
      f"format: {data['format']!r} is not known; this jnas reads {FORMAT!r}"
    )
  space, reduce = data.get("space"), data.get("reduce")
  if not isinstance(space, str | None):
    raise ValueError(f"space: expected text, found {reprlib.repr(space)}")
  provenance = data.get("provenance", {})
  if not isinstance(provenance, dict):
    raise ValueError(
      f"provenance: expected an object, found {reprlib.repr(provenance)}"
    )
  return Genotype(
    normal=_cell_from_dict(data["normal"], "normal"),
    reduce=None if reduce is None else _cell_from_dict(reduce, "reduce"),
    space=space,
    origin=data.get("provenance"),
  )


def to_json(
  genotype: Genotype, provenance: Mapping[str, Any] | None = None
) -> str:
  """The genotype as JSON text, a line for each node, with its provenance."""
  data = to_dict(genotype)
  if provenance is not None:
    data["provenance"] = dict(provenance)
  return _format_json(data, "") + "\n"


def from_json(text: str) -> Genotype:
  """The genotype in a JSON text."""
  try:
    data = json.loads(text)
  except json.JSONDecodeError as error:
    raise ValueError(f"not JSON: {error}") from None
  except RecursionError:
    raise ValueError("not a genotype: nested too deeply") from None
  return from_dict(data)


def _read_text(path: str | os.PathLike[str]) -> str:
  """The text of a file, with a plain sentence if it is not one."""
  path = pathlib.Path(path)
  if not path.exists():
    raise FileNotFoundError(f"no genotype file at {path}")
  if path.is_dir():  # a run folder
    if not (path / "genotype.json").is_file():
      raise ValueError(f"{path} is a folder without a genotype.json")
    path = path / "genotype.json"
  try:
    return path.read_text(encoding="utf-8-sig")
  except UnicodeDecodeError:
    raise ValueError(f"{path}: not a text file") from None


def _parse_form(text: str) -> Genotype:
  """Tells the written forms apart by how they begin."""
  text = text.strip()
  if text.startswith("|"):
    return nasbench201.from_nasbench201(text)
  if "Genotype(" in text and not text.startswith("{"):
    return darts_text.from_darts(text)
  return from_json(text)


def _check_keys(
  data: Any, place: str, allowed: Collection[str], required: Collection[str]
) -> None:
  if not isinstance(data, dict):
    raise ValueError(f"{place}: expected an object, found {reprlib.repr(data)}")
  for key in required:
    if key not in data:
      raise ValueError(f"{place}: {key!r} is missing; found {list(data)}")
  for key in data:
    if key not in allowed:
      raise ValueError(
        f"{place}: unknown key {key!r}; known are {', '.join(allowed)}"
      )


def _cell_to_dict(cell: Cell) -> dict[str, Any]:
  return {
    "num_inputs": cell.num_inputs,
    "nodes": [[list(pair) for pair in node] for node in cell.nodes],
    "concat": list(cell.concat),
  }


def _cell_from_dict(data: Any, place: str) -> Cell:
  _check_keys(data, place, _CELL_KEYS, required=("nodes", "concat"))
  try:
    return Cell(**data)
  except ValueError as error:
    raise ValueError(f"{place}.{error}") from None


def _format_json(value: Any, indent: str) -> str:
  """JSON with every list that fits on a line kept on one."""
  line = json.dumps(value, ensure_ascii=False, allow_nan=False)
  inner = indent + "  "
  if isinstance(value, dict) and value:
    items = [
      f"{json.dumps(str(key), ensure_ascii=False)}: "
      + _format_json(item, inner)
      for key, item in value.items()
    ]
    opening, closing = "{}"
  elif isinstance(value, list | tuple) and len(indent) + len(line) > 72:
    items = [_format_json(item, inner) for item in value]
    opening, closing = "[]"
  else:
    return line
  lines = ",\n".join(inner + item for item in items)
  return f"{opening}\n{lines}\n{indent}{closing}"
