"""Names in configs to objects: a table's entry, or an import path.

Every name in a config is either a key of one of the explicit tables (`OPS`,
`SPACES`, `METHODS`, `DATASETS`, ...) or `"package.module:Name"`, so that code
outside the package needs no table. Either way a mistake is one clear line.
"""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def resolve(name: str, table: Mapping[str, T], kind: str) -> T:
  """The object that a name in a config stands for.

  Args:
    name: a key of `table`, or `"package.module:Name"`, which is imported.
    table: the known names.
    kind: what the table holds, in the singular, for messages: `"op"`.

  Returns:
    The table's entry, or the imported object, which is not checked further.

  Raises:
    ValueError: the name is unknown, or cannot be imported.
  """
  if name in table:
    return table[name]
  module_name, _, attribute = name.partition(":")
  if not all(
    part.isidentifier() for part in (*module_name.split("."), attribute)
  ):
    raise ValueError(
      f"unknown {kind} {name!r}{suggest(module_name, table)}; known {kind}s: "
      f"{', '.join(table)}; your own: 'package.module:Name'"
    )
  return _import(module_name, attribute, table, kind)


def suggest(name: str, known: Iterable[str]) -> str:
  """`"; did you mean 'x'?"` with the nearest known name, or nothing."""
  nearest = difflib.get_close_matches(name, list(known), n=1)
  return f"; did you mean {nearest[0]!r}?" if nearest else ""


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
      f"{suggest(module_name, table)}"
    ) from error
  try:
    return getattr(module, attribute)
  except AttributeError:
    raise ValueError(
      f"{what}: module {module_name} has no {attribute!r}"
      f"{suggest(attribute, dir(module))}"
    ) from None
