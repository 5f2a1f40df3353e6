"""Other forms of a config: flat, as JSON, as a hash."""

import dataclasses
import hashlib
import json
from typing import Any

from jnas import mistakes
from jnas.config.fields import RECORDS, SECTIONS, Config


def flatten(config: Config) -> dict[str, Any]:
  """Every field by its dotted name, and every method setting by its own."""
  flat: dict[str, Any] = {}
  for name, value in dataclasses.asdict(config).items():
    if isinstance(value, dict):
      for inner, leaf in value.items():
        if isinstance(leaf, dict):
          flat |= {f"{name}.{inner}.{key}": leaf[key] for key in sorted(leaf)}
        else:
          flat[f"{name}.{inner}"] = leaf
    else:
      flat[name] = value
  return flat


def identity(config: Config) -> dict[str, Any]:
  """The fields, nested, that make the run what it is: all but `benchmark`."""
  fields = dataclasses.asdict(config)
  del fields["benchmark"]
  return fields


def fingerprint(config: Config) -> str:
  """12 hexadecimal digits that change with any field of `identity`.

  Fields at their defaults do not enter, so that a run goes on under a version
  of jnas that has new ones. That a default is another one now shows in the
  fields themselves, which a run folder keeps.
  """
  fields = _plain(config)
  fields.pop("benchmark", None)
  text = json.dumps(fields, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(record: Any) -> dict[str, Any]:
  """The fields not at their defaults; 1 in a float's field is a 1.0."""
  values = {}
  for field in dataclasses.fields(record):
    value = getattr(record, field.name)
    if value == _default(field):
      continue
    if dataclasses.is_dataclass(value):
      values[field.name] = _plain(value)
    elif field.type is float:
      values[field.name] = float(value)
    elif field.type == tuple[float, ...]:
      values[field.name] = [float(item) for item in value]
    else:
      values[field.name] = value
  return values


def _default(field: dataclasses.Field) -> Any:
  """A field's default; `MISSING` where it has none."""
  if field.default_factory is not dataclasses.MISSING:
    return field.default_factory()
  return field.default


def _section(of: type, values: dict[str, Any]) -> Any:
  """A section from its JSON, which has lists for tuples."""
  return of(
    **{
      name: tuple(value) if isinstance(value, list) else value
      for name, value in values.items()
    }
  )


def from_dict(fields: dict[str, Any]) -> Config:
  """The config that `dataclasses.asdict` or `identity` wrote.

  Fields that it lacks, as one of an older jnas may, are at their defaults.

  Raises:
    ValueError: for a field that is unknown or of another type, or no name.
  """
  try:
    config = Config(
      **{
        **fields,
        **{
          name: _section(of, fields.get(name, {}))
          for name, of in SECTIONS.items()
        },
      }
    )
  except (TypeError, KeyError) as error:
    raise ValueError(
      "not the config of this version of jnas: "
      f"{mistakes.describe(error)}{mistakes.suggest_field(error, RECORDS)}"
    ) from error
  mistakes.check_types(config)
  return config
