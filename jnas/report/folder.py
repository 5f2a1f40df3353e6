"""What a run folder holds, as values; read while the run may still write.

A stage that has not begun is None, a metric that is missing or null is NaN,
and a last line that was cut off while being written is left out and noted.
"""

import dataclasses
import json
import math
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jnas import genotype as genotype_lib
from jnas.genotype import Genotype

_EXAMPLES = ("images", "labels", "predicted")


@dataclasses.dataclass(frozen=True)
class Log:
  """One stage's metrics.jsonl.

  Attributes:
    header: its first line; empty if it has none.
    epochs: its epoch lines, in order of epoch; of two with the same number
      the later one, which a resumed stage has written.
    summary: its last line once the stage has ended; empty before.
    faults: what could not be read, in words.
    events: its other lines in order, the trials and decisions of a selection.
  """

  header: Mapping[str, Any]
  epochs: tuple[Mapping[str, Any], ...]
  summary: Mapping[str, Any]
  faults: tuple[str, ...] = ()
  events: tuple[Mapping[str, Any], ...] = ()

  def values(self, *path: str) -> list[float]:
    """A metric of every epoch, NaN where it is missing.

    Args:
      *path: its name, or the names that lead to it, ("entropy", "normal").
    """
    return [number(epoch, *path) for epoch in self.epochs]

  def numbers(self) -> list[int]:
    """The epochs' numbers in the file, where the first is 0."""
    return [epoch["epoch"] for epoch in self.epochs]

  def counted(self) -> list[int]:
    """The epochs' numbers as they are told to people: the first is 1."""
    return [number + 1 for number in self.numbers()]


@dataclasses.dataclass(frozen=True)
class Network:
  """A derived network that is, or was, trained.

  Attributes:
    name: "searched", or "given" where the run has not searched for it,
      "random 0", "random 1", ...
    log: its training.
    genotype: its cells, where they could be read.
  """

  name: str
  log: Log
  genotype: Genotype | None

  @property
  def is_baseline(self) -> bool:
    """True for a random genotype."""
    return self.name not in ("searched", "given")


@dataclasses.dataclass(frozen=True)
class Run:
  """A run folder.

  Attributes:
    name: of the folder.
    config: the settings, nested; empty if they are missing.
    config_hash: of the settings; empty if missing.
    versions: of jnas, Python and the libraries.
    search: the search's metrics.
    genotype: what was found; while the search runs, what it would find now.
    is_final: whether `genotype` is final.
    provenance: where the genotype is from.
    networks: the retrained networks, the searched one first.
    benchmark: what the user's table says of the cells; empty without one.
    faults: what could not be read, in words.
    selection: the selection's metrics; None where the search decides.
    segment: metrics of the training for the class of every pixel; None
      without one.
    segment_examples: images, masks and predictions of it, empty before its
      end.
  """

  name: str
  config: Mapping[str, Any]
  config_hash: str
  versions: Mapping[str, Any]
  search: Log | None
  genotype: Genotype | None
  is_final: bool
  provenance: Mapping[str, Any]
  networks: tuple[Network, ...]
  benchmark: Mapping[str, Any]
  faults: tuple[str, ...]
  selection: Log | None = None
  segment: Log | None = None
  segment_examples: Mapping[str, np.ndarray] = dataclasses.field(
    default_factory=dict
  )

  def setting(self, *path: str) -> Any:
    """A value of the config, None if it has no such field."""
    value: Any = self.config
    for key in path:
      value = value.get(key) if isinstance(value, Mapping) else None
    return value

  @property
  def is_given(self) -> bool:
    """True if the genotype was given, and not found by this run."""
    return _is_given(self.provenance)

  @property
  def searched(self) -> Network | None:
    """The retrained searched network, once its training has begun."""
    return next((n for n in self.networks if not n.is_baseline), None)

  @property
  def baselines(self) -> tuple[Network, ...]:
    """The random genotypes trained alike."""
    return tuple(n for n in self.networks if n.is_baseline)


def read(path: pathlib.Path) -> Run:
  """Reads a run folder.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: the folder holds no run.
  """
  if not path.is_dir():
    raise FileNotFoundError(f"no run folder at {path}")
  search = read_log(path / "search" / "metrics.jsonl")
  if search is None and not (path / "config.json").exists():
    raise ValueError(
      f"{path} is not a run folder: it has neither config.json nor"
      " search/metrics.jsonl"
    )
  faults: list[str] = []
  settings = _read_object(path / "config.json", faults)
  final, provenance = _read_genotype(path / "genotype.json", faults)
  own = "given" if _is_given(provenance) else "searched"
  networks = [_read_network(own, path / "evaluate", final, faults)]
  for folder in sorted(path.glob("evaluate/random_*"), key=_number_of):
    name = folder.name.replace("_", " ")
    genotype, _ = _read_genotype(folder / "genotype.json", faults)
    networks.append(_read_network(name, folder, genotype, faults))
  selection = read_log(path / "selection" / "metrics.jsonl")
  segment = read_log(path / "segment" / "metrics.jsonl")
  for log in (search, selection, segment):
    faults += log.faults if log else ()
  examples = _read_examples(path / "segment" / "examples.npz", faults)
  looked_up = path / "benchmark.json"
  return Run(
    name=path.resolve().name,
    config=_mapping(settings.get("config")),
    config_hash=str(settings.get("hash", "")),
    versions=_mapping(settings.get("versions")),
    search=search,
    genotype=final or _latest_genotype(search),
    is_final=final is not None,
    provenance=provenance,
    networks=tuple(network for network in networks if network),
    benchmark=_read_object(looked_up, faults) if looked_up.exists() else {},
    faults=tuple(faults),
    selection=selection,
    segment=segment,
    segment_examples=examples,
  )


def read_log(path: pathlib.Path) -> Log | None:
  """Reads a metrics.jsonl; None if there is no such file."""
  if not path.exists():
    return None
  lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
  place = f"{path.parent.name}/{path.name}"
  header: Mapping[str, Any] = {}
  summary: Mapping[str, Any] = {}
  epochs: dict[int, Mapping[str, Any]] = {}
  faults, events = [], []
  for i, line in enumerate(lines, start=1):
    try:
      entry = json.loads(line) if line.strip() else {}
    except (json.JSONDecodeError, RecursionError):
      entry = None
    if not isinstance(entry, dict):
      end = " (the last: cut off while being written)" * (i == len(lines))
      faults.append(f"line {i}{end} of {place} cannot be read; left out")
    elif entry.get("kind") == "header":
      header = entry
    elif entry.get("kind") == "epoch" and isinstance(entry.get("epoch"), int):
      epochs[entry["epoch"]] = entry
    elif entry.get("kind") == "summary":
      summary = entry
    elif entry.get("kind") in ("trial", "decision"):
      events.append(entry)
  ordered = tuple(epochs[epoch] for epoch in sorted(epochs))
  return Log(header, ordered, summary, tuple(faults), tuple(events))


def number(entry: Mapping[str, Any], *path: str) -> float:
  """A number in nested values; NaN if it is missing or no number."""
  value: Any = entry
  for key in path:
    value = value.get(key) if isinstance(value, Mapping) else None
  if isinstance(value, bool) or not isinstance(value, int | float):
    return math.nan
  return float(value)


def matrix(entry: Mapping[str, Any], name: str, cell_type: str) -> list[Any]:
  """A list of rows in an entry's cell type; empty if it is missing."""
  rows = _mapping(entry.get(name)).get(cell_type)
  if not isinstance(rows, Sequence) or isinstance(rows, str):
    return []
  return [row if isinstance(row, list) else [] for row in rows]


def genotype_of(entry: Mapping[str, Any]) -> Genotype | None:
  """The genotype in a line of the metrics, None if there is none to read."""
  try:
    return genotype_lib.from_dict(entry.get("genotype"))
  except ValueError:
    return None


def _is_given(provenance: Mapping[str, Any]) -> bool:
  return provenance.get("step") == 0


def _read_network(
  name: str,
  folder: pathlib.Path,
  genotype: Genotype | None,
  faults: list[str],
) -> Network | None:
  log = read_log(folder / "metrics.jsonl")
  if log is None:
    return None
  faults.extend(log.faults)
  return Network(name, log, genotype)


def _read_genotype(
  path: pathlib.Path, faults: list[str]
) -> tuple[Genotype | None, Mapping[str, Any]]:
  if not path.exists():
    return None, {}
  try:
    return genotype_lib.load(path), genotype_lib.read_provenance(path)
  except ValueError as error:
    faults.append(f"the genotype cannot be read: {error}")
    return None, {}


def _read_object(path: pathlib.Path, faults: list[str]) -> Mapping[str, Any]:
  if not path.exists():
    faults.append(f"{path.name} is missing")
    return {}
  try:
    return _mapping(json.loads(path.read_text(encoding="utf-8")))
  except (json.JSONDecodeError, UnicodeDecodeError) as error:
    faults.append(f"{path.name} cannot be read: {error}")
    return {}


def _read_examples(
  path: pathlib.Path, faults: list[str]
) -> Mapping[str, np.ndarray]:
  """The arrays of a few segmented images; empty where there are none."""
  if not path.exists():
    return {}
  try:
    with np.load(path) as archive:
      return {name: archive[name] for name in _EXAMPLES}
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
    faults.append(f"{path.name} cannot be read: {error}")
    return {}


def _latest_genotype(search: Log | None) -> Genotype | None:
  """What the last epoch that tells would derive."""
  found = (genotype_of(e) for e in reversed(search.epochs if search else ()))
  return next((genotype for genotype in found if genotype), None)


def _mapping(value: Any) -> Mapping[str, Any]:
  return value if isinstance(value, Mapping) else {}


def _number_of(folder: pathlib.Path) -> tuple[int, str]:
  tail = folder.name.rpartition("_")[2]
  return (int(tail) if tail.isdigit() else 0, folder.name)
