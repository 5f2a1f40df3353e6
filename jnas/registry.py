"""Names in configs to objects: a table's entry, or an import path.

Every name in a config is either a key of one of the explicit tables (`OPS`,
`SPACES`, `METHODS`, `DATASETS`, ...) or `"package.module:Name"`, so that code
outside the package needs no table. Either way a mistake is one clear line.
"""

import importlib
from collections.abc import Mapping
from typing import Any, TypeVar

from jnas import mistakes

T = TypeVar("T")


def resolve(
  name: str, table: Mapping[str, T], kind: str, *, of: type | None = None
) -> T:
  """The object that a name in a config stands for.

  Args:
    name: a key of `table`, or `"package.module:Name"`, which is imported.
    table: the known names.
    kind: what the table holds, in the singular, for messages: `"op"`.
    of: type that an imported object must have; None for any.

  Returns:
    The table's entry, or the imported object, which is not checked further.

  Raises:
    ValueError: the name is unknown, cannot be imported, or is of another type.
  """
  if name in table:
    return table[name]
  module_name, _, attribute = name.partition(":")
  if not all(
    part.isidentifier() for part in (*module_name.split("."), attribute)
  ):
    raise ValueError(
      f"unknown {kind} {name!r}{mistakes.suggest(module_name, table)}; known "
      f"{kind}s: {', '.join(table)}; your own: 'package.module:Name'"
    )
  found = _import(module_name, attribute, table, kind)
  if of is not None and not isinstance(found, of):
    raise ValueError(
      f"{kind} {name!r} is of type {type(found).__name__}; it must be a "
      f"{of.__module__}.{of.__qualname__}"
    )
  return found


def _import(
  module_name: str, attribute: str, table: Mapping[str, Any], kind: str
) -> Any:
  """The attribute of the module, or one line that says which is missing."""
  what = f"{kind} '{module_name}:{attribute}'"
  try:
    module = importlib.import_module(module_name)
  except ImportError as error:
    # `error` names the missing module: this one, or one that it imports.
    raise ValueError(
      f"{what}: cannot import {module_name}: {error}"
      f"{mistakes.suggest(module_name, table)}; modules are looked for in the "
      "current folder, in PYTHONPATH and among what is installed"
    ) from error
  except mistakes.SLIPS as error:
    raise ValueError(
      f"{what}: cannot import {module_name}: {mistakes.describe(error)}"
    ) from error
  try:
    return getattr(module, attribute)
  except AttributeError:
    raise ValueError(
      f"{what}: module {module_name} has no {attribute!r}"
      f"{mistakes.suggest(attribute, dir(module))}"
    ) from None
