"""Where the authors' code does other than their paper, as settings.

`--preset paper` leaves a config as it is, which follows the papers; `--preset
authors` sets what the authors of a method, and of a selection, set in their
code. Later options on the command line still win.

Deviation: the trials of PT's authors overwrite the running batch statistics
(SPEC 6, D12). Ours never move them: trials and tuning use those of the batch,
so no decision depends on it, only how the supernet is measured in between.

Source: SPEC 6.
"""

import dataclasses
from typing import Any

from jnas import config as configs
from jnas import registry
from jnas.methods import METHODS, Method
from jnas.spaces import SPACES, Space


def apply(
  config: configs.Config, preset: str, *, chosen: configs.Config | None = None
) -> configs.Config:
  """The config with the fields of a preset set.

  Args:
    config: follows the papers.
    preset: "paper" or "authors".
    chosen: the config with the options that come later, which say whose
      authors; None if there are none.

  Returns:
    The config, which says which preset it is of.

  Raises:
    ValueError: for an unknown preset, method or space.
  """
  if preset not in configs.PRESETS:
    raise ValueError(
      f"preset is {preset!r}; it must be one of {', '.join(configs.PRESETS)}"
    )
  config = dataclasses.replace(config, preset=preset)
  if preset == "paper":
    return config
  for name, value in _authors(chosen or config).items():
    config = _set(config, name.split("."), value)
  return config


def _authors(config: configs.Config) -> dict[str, Any]:
  """What the authors of the method and of the selection set, by name."""
  method = registry.resolve(config.method.name, METHODS, "method", of=Method)
  fields = dict(method.authors)
  selection = config.selection.name
  if selection not in ("perturbation", "magnitude"):
    return fields
  if not method.decides_edges:
    fields["selection.lr_end_share"] = 1.0  # D11
    if selection == "perturbation":
      fields["selection.topology"] = "iterative"  # D10
    space = registry.resolve(config.space, SPACES, "space", of=Space)
    if not space.every_edge:
      fields["selection.none_edge"] = "first_other"  # D14
  settings = {field.name for field in dataclasses.fields(method.settings)}
  if config.search.scheme == "frozen" and "init_scale" in settings:
    fields["method.settings.init_scale"] = 1e-3  # D13
  return fields


def _set(record: Any, path: list[str], value: Any) -> Any:
  """A record, or a dictionary, with the field at a path replaced."""
  name, *rest = path
  if isinstance(record, dict):
    return {**record, name: value}
  inner = _set(getattr(record, name), rest, value) if rest else value
  return dataclasses.replace(record, **{name: inner})
