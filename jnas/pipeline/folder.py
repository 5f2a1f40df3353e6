"""The run folder: where each stage reads and writes, and what guards it."""

import dataclasses
import json
import os
import pathlib
from typing import Any

from jnas import config as configs
from jnas import genotype as genotypes
from jnas.training import checkpoint
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
  def evaluate(self) -> pathlib.Path:
    """Folder of the derived network's training."""
    return self.path / "evaluate"

  @property
  def genotype(self) -> pathlib.Path:
    """File of the genotype found."""
    return self.path / "genotype.json"

  def create(self) -> None:
    """Makes the folder and writes config.json, unless it is there.

    Raises:
      OSError: if it cannot be written.
    """
    checkpoint.check_writable(self.path)
    file = self.path / "config.json"
    if not file.exists():
      self.path.mkdir(parents=True, exist_ok=True)
      write_json(
        file,
        {
          "config": dataclasses.asdict(self.config),
          "hash": self.hash,
          "versions": checkpoint.versions(),
        },
      )


def open_run(config: configs.Config, workdir: str | pathlib.Path) -> RunFolder:
  """The run of a config in a folder, which is not touched yet.

  Raises:
    OtherConfigError: naming the fields in which the folder's config differs.
    ValueError: if its config.json cannot be read.
  """
  path = pathlib.Path(workdir)
  file = path / "config.json"
  if file.exists():
    previous = read_config(path)
    differing = _differences(previous, config)
    if differing:
      raise OtherConfigError(
        f"{path} holds a run of another config: {'; '.join(differing)}; "
        "use another --workdir, or the same settings to continue it"
      )
  return RunFolder(path, config)


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
    fields = json.loads(file.read_text(encoding="utf-8"))["config"]
  except (json.JSONDecodeError, UnicodeDecodeError, KeyError) as error:
    raise ValueError(f"{file} cannot be read: {error}") from error
  return configs.from_dict(fields)


def summary(folder: pathlib.Path) -> dict[str, Any] | None:
  """The last record of a finished stage, None if it is not finished."""
  records = MetricsFile(folder / "metrics.jsonl").read()
  finished = bool(records) and records[-1].get("kind") == "summary"
  return records[-1] if finished else None


def provenance(run: RunFolder, step: int) -> dict[str, Any]:
  """Where a genotype comes from."""
  return {
    "config_hash": run.hash,
    "seed": run.config.seed,
    "step": step,
    "code_version": checkpoint.versions()["jnas"],
  }


def load_genotype(run: RunFolder) -> genotypes.Genotype:
  """The genotype of a run.

  Raises:
    FileNotFoundError: if there is none yet.
  """
  if not run.genotype.exists():
    raise FileNotFoundError(
      f"no genotype in {str(run.path)!r}: run `jnas search` first, or give "
      "one with --genotype"
    )
  return genotypes.load(run.genotype)


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes a file whole or not at all."""
  partial = path.with_name(f".{path.name}.partial")
  with partial.open("w", encoding="utf-8") as file:
    json.dump(value, file, indent=2)
    file.write("\n")
    file.flush()
    os.fsync(file.fileno())
  os.replace(partial, path)


def _differences(old: configs.Config, new: configs.Config) -> list[str]:
  before, after = configs.flatten(old), configs.flatten(new)
  return [
    f"{name} is {before.get(name)!r} there and {after.get(name)!r} here"
    for name in sorted({*before, *after})
    if before.get(name) != after.get(name)
  ]
