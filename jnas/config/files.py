"""Configs from files, and those that ship with jnas."""

import importlib.util
import pathlib
import types

from jnas import mistakes
from jnas.config.fields import RECORDS, Config


def load(path_or_name: str) -> Config:
  """The config that a file, or a config that ships with jnas, describes.

  Args:
    path_or_name: a path ending in .py, or a name such as "quickstart".

  Raises:
    FileNotFoundError: if there is neither such a file nor such a name.
    ValueError: if the file does not define `get_config() -> Config`.
  """
  path = pathlib.Path(path_or_name)
  if path.suffix != ".py":
    known = shipped()
    if path_or_name not in known:
      raise FileNotFoundError(
        f"no config {path_or_name!r}{mistakes.suggest(path_or_name, known)}; "
        "give a path ending in .py, or one of `jnas list configs`"
      )
    path = known[path_or_name]
  if not path.is_file():
    raise FileNotFoundError(f"no config file {str(path)!r}")
  try:
    get_config = getattr(_import(path), "get_config", None)
    config = get_config() if callable(get_config) else None
  except mistakes.SLIPS as error:
    hint = mistakes.suggest_field(error, RECORDS)
    raise ValueError(
      f"{path}: {mistakes.describe(error, path)}{hint}"
    ) from error
  if not callable(get_config):
    raise ValueError(f"{path}: defines no function get_config()")
  if not isinstance(config, Config):
    raise ValueError(
      f"{path}: get_config() returned {type(config).__name__}, not "
      "jnas.config.Config"
    )
  try:
    mistakes.check_types(config)
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error
  return config


def shipped() -> dict[str, pathlib.Path]:
  """The configs that ship with jnas, by name."""
  package = pathlib.Path(__file__).parents[1]
  for folder in (package / "configs", package.parent / "configs"):
    if folder.is_dir():
      return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.py"))
        if path.stem != "__init__"
      }
  return {}


def _import(path: pathlib.Path) -> types.ModuleType:
  spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
  if spec is None or spec.loader is None:
    raise ImportError("cannot be imported")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
