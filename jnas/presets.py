"""Where the authors' code does other than their paper, as settings.

`--preset paper` leaves a config as it is, which follows the papers; `--preset
authors` sets what a method's authors set in their code. Later options on the
command line still win.

Source: SPEC 6.
"""

import dataclasses
from typing import Any

from jnas import config as configs
from jnas import registry
from jnas.methods import METHODS, Method


def apply(config: configs.Config, preset: str) -> configs.Config:
  """The config with the fields of a preset set.

  Args:
    config: follows the papers.
    preset: "paper" or "authors".

  Returns:
    The config, which says which preset it is of.

  Raises:
    ValueError: for an unknown preset or method.
  """
  if preset not in configs.PRESETS:
    raise ValueError(
      f"preset is {preset!r}; it must be one of {', '.join(configs.PRESETS)}"
    )
  config = dataclasses.replace(config, preset=preset)
  if preset == "paper":
    return config
  method = registry.resolve(config.method.name, METHODS, "method", of=Method)
  for name, value in method.authors.items():
    config = _set(config, name.split("."), value)
  return config


def _set(record: Any, path: list[str], value: Any) -> Any:
  """A record, or a dictionary, with the field at a path replaced."""
  name, *rest = path
  if isinstance(record, dict):
    return {**record, name: value}
  inner = _set(getattr(record, name), rest, value) if rest else value
  return dataclasses.replace(record, **{name: inner})
