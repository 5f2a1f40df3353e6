"""The run folder: where each stage reads and writes, and what guards it."""

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from jnas import config as configs
from jnas import genotype as genotypes
from jnas.pipeline import lock, selecting
from jnas.training import checkpoint, processes
from jnas.training.metrics import MetricsFile


class OtherConfigError(ValueError):
  """The run folder belongs to another config."""


@dataclasses.dataclass(frozen=True)
class RunFolder:
  """Paths of one run.

  Attributes:
    path: the folder.
    config: what the run is.
  """

  path: pathlib.Path
  config: configs.Config

  @property
  def hash(self) -> str:
    """Of the config."""
    return configs.fingerprint(self.config)

  @property
  def search(self) -> pathlib.Path:
    """Folder of the search."""
    return self.path / "search"

  @property
  def together(self) -> pathlib.Path:
    """File that says which seeds are searched at once with this one."""
    return self.search / "together.json"

  @property
  def selection(self) -> pathlib.Path:
    """Folder of the selection."""
    return self.path / "selection"

  @property
  def evaluate(self) -> pathlib.Path:
    """Folder of the derived network's training."""
    return self.path / "evaluate"

  @property
  def segment(self) -> pathlib.Path:
    """Folder of the training for the class of every pixel."""
    return self.path / "segment"

  @property
  def genotype(self) -> pathlib.Path:
    """File of the genotype found, by the last stage that decides on it."""
    return self.path / "genotype.json"

  @property
  def benchmark(self) -> pathlib.Path:
    """File of what the user's table says of the cells found."""
    return self.path / "benchmark.json"

  @property
  def search_genotype(self) -> pathlib.Path:
    """File of what the search derives by itself."""
    if selecting.after(self.config):
      return self.search / "genotype.json"
    return self.genotype

  def create(self) -> None:
    """Makes the folder and writes config.json, unless it is there.

    Raises:
      OSError: if it cannot be written.
    """
    processes.from_first(self._create)

  def _create(self) -> None:
    checkpoint.check_writable(self.path)
    if not (self.path / "config.json").exists():
      self.path.mkdir(parents=True, exist_ok=True)
      self._write_config()
    elif _differing(self.path, self.config):
      with lock.hold(self.path):  # what is there may have begun by now
        _refuse_other(self.path, self.config)
        self._write_config()

  def _write_config(self) -> None:
    write_json(
      self.path / "config.json",
      {
        "config": configs.identity(self.config),
        "hash": self.hash,
        "versions": checkpoint.versions(),
      },
    )

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """Keeps other runs out of the folder for a `with` block.

    The lock is the system's, and goes with the process however it ends. Only
    the first of several processes of one run takes it.

    Raises:
      ValueError: if another run holds the folder, or made it its own.
    """

    def enter() -> None:
      stack.enter_context(lock.hold(self.path))
      if _differing(self.path, self.config):
        _refuse_other(self.path, self.config, begun=True)

    with contextlib.ExitStack() as stack:
      processes.from_first(enter)
      yield


def open_run(config: configs.Config, workdir: str | pathlib.Path) -> RunFolder:
  """The run of a config in a folder, which is not touched yet.

  Raises:
    OtherConfigError: naming the fields in which the folder's config differs.
    ValueError: if its config.json cannot be read.
  """
  path = pathlib.Path(workdir)
  processes.from_first(lambda: _check_same(path, config))
  return RunFolder(path, config)


def _check_same(path: pathlib.Path, config: configs.Config) -> None:
  """Refuses a folder of another config."""
  if _differing(path, config):
    _refuse_other(path, config, begun=_is_begun(path))


def _refuse_other(
  path: pathlib.Path, config: configs.Config, *, begun: bool | None = None
) -> None:
  """Refuses the folder of another config, unless nothing has begun there."""
  if _has_begun(path) if begun is None else begun:
    raise OtherConfigError(
      f"{path} holds a run of another config: "
      f"{'; '.join(_differing(path, config))}; use another --workdir, or the "
      "same settings to continue it"
    )


def _differing(path: pathlib.Path, config: configs.Config) -> list[str]:
  """Fields in which a folder's config, if it has one, is another."""
  if not (path / "config.json").exists():
    return []
  return differences(read_config(path), config)


def _has_begun(path: pathlib.Path) -> bool:
  """Whether a folder holds more than what a run leaves that fails at once."""
  return bool({item.name for item in path.iterdir()} - {"config.json", ".lock"})


def _is_begun(path: pathlib.Path) -> bool:
  """Whether a run has begun in a folder, or is about to.

  A run that compiles its first step has left nothing yet, but holds the lock.
  """
  if _has_begun(path):
    return True
  if not (path / ".lock").exists():
    return False
  try:
    with lock.hold(path):
      return False
  except ValueError:
    return True


def read_config(path: pathlib.Path) -> configs.Config:
  """The config that a run folder was made with.

  Raises:
    FileNotFoundError: if the folder holds no run.
    ValueError: if its config.json cannot be read.
  """
  file = path / "config.json"
  if not file.exists():
    raise FileNotFoundError(f"no run in {str(path)!r}: it has no config.json")
  try:
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or "config" not in content:
      raise ValueError('no "config" in it')
    return configs.from_dict(content["config"])
  except (OSError, ValueError, RecursionError) as error:
    reason = getattr(error, "strerror", None) or error
    raise ValueError(
      f"{file} cannot be read: {reason}; restore it, or use another --workdir"
    ) from error


def open_made(path: pathlib.Path) -> RunFolder:
  """The run that a folder holds, which only the first process has to see.

  Raises:
    FileNotFoundError: if the folder holds no run.
    ValueError: if its config.json cannot be read.
  """
  fields = processes.from_first(lambda: dataclasses.asdict(read_config(path)))
  return RunFolder(path, configs.from_dict(fields))


def summary(folder: pathlib.Path) -> dict[str, Any] | None:
  """The last record of a finished stage, None if it is not finished."""

  def read() -> dict[str, Any] | None:
    records = MetricsFile(folder / "metrics.jsonl").read()
    finished = bool(records) and records[-1].get("kind") == "summary"
    return records[-1] if finished else None

  return processes.from_first(read)


def header(folder: pathlib.Path) -> dict[str, Any]:
  """The first record of a stage that has begun."""
  file = MetricsFile(folder / "metrics.jsonl")
  return processes.from_first(lambda: file.read()[0])


def provenance(run: RunFolder, step: int) -> dict[str, Any]:
  """Where a genotype that a run found comes from."""
  return {
    "config_hash": run.hash,
    "seed": run.config.seed,
    "step": step,
    "code_version": checkpoint.versions()["jnas"],
  }


def given(run: RunFolder, genotype: genotypes.Genotype) -> dict[str, Any]:
  """Where a genotype that a run was given comes from.

  Step 0 says that this run did not search; `found` is the origin of the
  genotype, of one that was handed on the first one, where it is known.
  """
  origin = dict(genotype.origin or {})
  if origin.get("step") == 0 and "found" in origin:
    origin = origin["found"]
  return provenance(run, 0) | ({"found": origin} if origin else {})


def find_genotype(path: pathlib.Path) -> genotypes.Genotype | None:
  """The genotype in a file, None where there is no file."""

  def read() -> str | None:
    if not path.exists():
      return None
    genotype = genotypes.load(path)
    return genotypes.to_json(genotype, genotype.origin)

  text = processes.from_first(read)
  return None if text is None else genotypes.parse(text)


def save_genotype(
  path: pathlib.Path, genotype: genotypes.Genotype, provenance: dict[str, Any]
) -> None:
  """Writes a genotype; of several processes only the first one does.

  Raises:
    OSError: the file could not be written, and says so in one line.
  """
  if processes.is_first():
    genotypes.save(path, genotype, provenance=provenance)


def load_genotype(run: RunFolder) -> genotypes.Genotype:
  """The genotype of a run.

  Raises:
    FileNotFoundError: if there is none yet.
  """
  found = find_genotype(run.genotype)
  if found is None:
    stage = "select" if selecting.after(run.config) else "search"
    raise FileNotFoundError(
      f"no genotype in {str(run.path)!r}: run `jnas {stage}` first, or give "
      "one with --genotype"
    )
  return found


def check_alone(run: RunFolder) -> None:
  """Refuses a folder whose search is under way together with other seeds.

  Raises:
    ValueError: naming the seeds.
  """

  def check() -> None:
    if seeds := read_together(run):
      raise ValueError(
        f"{run.search} is part of a search of several seeds at once, which is "
        f"not finished: --seeds {' '.join(map(str, seeds))} --vmap continues "
        "it; or use another --workdir"
      )

  processes.from_first(check)


def read_together(run: RunFolder) -> list[int]:
  """The seeds that a search is under way with at once; none if it is alone."""
  file = run.together
  if not file.exists():
    return []
  return json.loads(file.read_text(encoding="utf-8"))["seeds"]


def check_searchable(run: RunFolder) -> None:
  """Refuses a folder whose genotype was given, and evaluated, not searched.

  Raises:
    ValueError: a search would replace the genotype under its results.
  """
  processes.from_first(lambda: _check_searchable(run))


def _check_searchable(run: RunFolder) -> None:
  if not run.genotype.exists():
    return
  if genotypes.read_provenance(run.genotype).get("step") == 0:
    raise ValueError(
      f"{run.genotype} was given by hand, not found by a search; "
      "search in another --workdir"
    )


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes a file of JSON; see `write_bytes`."""
  write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Writes a file whole or not at all.

  Raises:
    OSError: the file could not be written, and says so in one line.
  """
  partial = path.with_name(f".{path.name}.partial")
  try:
    with partial.open("wb") as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    os.replace(partial, path)
  except OSError as error:
    with contextlib.suppress(OSError):
      partial.unlink()
    failure = OSError(f"cannot write {path}: {error.strerror}")
    failure.errno = error.errno
    raise failure from error


def differences(old: configs.Config, new: configs.Config) -> list[str]:
  """A text for each field, but `benchmark`, that is another there and here."""
  before, after = configs.flatten(old), configs.flatten(new)
  return [
    f"{name} is {before.get(name)!r} there and {after.get(name)!r} here"
    for name in sorted({*before, *after})
    if before.get(name) != after.get(name) and not name.startswith("benchmark.")
  ]
