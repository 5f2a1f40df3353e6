"""One line for what a user's own code or value gets wrong.

Configs, spaces, methods and datasets may be Python of the user's own. What it
raises becomes one line that names the place; `--debug` shows the rest.
"""

import dataclasses
import difflib
import os
import re
import traceback
import types
import typing
from collections.abc import Iterable
from typing import Any, Literal

# What a slip in code raises. Interrupts, exits and lack of memory are none.
SLIPS = (
  ArithmeticError,
  AssertionError,
  AttributeError,
  ImportError,
  LookupError,
  NameError,
  OSError,
  RuntimeError,
  SyntaxError,
  TypeError,
  ValueError,
)


def describe(error: BaseException, path: str | os.PathLike[str] = "") -> str:
  """What went wrong, and in which line of a file where that is known.

  Args:
    error: what the user's code raised.
    path: of the user's file; empty if it is not known.
  """
  reason = " ".join(str(error).split())
  if not isinstance(error, ValueError | SyntaxError | ImportError):
    reason = f"{type(error).__name__}: {reason}"
  lines = [
    frame.lineno
    for frame in traceback.extract_tb(error.__traceback__)
    if path and os.path.abspath(frame.filename) == os.path.abspath(path)
  ]
  return f"line {lines[-1]}: {reason}" if lines else reason


def suggest(name: str, known: Iterable[str]) -> str:
  """`"; did you mean 'x'?"` with the nearest known name, or nothing."""
  nearest = difflib.get_close_matches(name, list(known), n=1)
  return f"; did you mean {nearest[0]!r}?" if nearest else ""


def suggest_field(error: BaseException, records: Iterable[type]) -> str:
  """What the user meant by a keyword that a record does not take.

  Args:
    error: a TypeError that a record's constructor raised, or anything else.
    records: dataclasses that the user may have made.

  Returns:
    The nearest field and the known ones; nothing for other errors.
  """
  found = re.search(
    r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'",
    str(error),
  )
  for record in records:
    if found and record.__name__ == found[1]:
      known = [field.name for field in dataclasses.fields(record)]
      return f"{suggest(found[2], known)}; its fields: {', '.join(known)}"
  return ""


def check_types(record: Any, prefix: str = "") -> None:
  """Refuses a value that is not of its field's type, at any depth.

  A whole number will do for a float. A bool is no number.

  Args:
    record: a dataclass whose annotations are `int`, `float`, `str`, `bool`,
      `Literal`, dataclasses, tuples of any length, and dictionaries with
      text for keys.
    prefix: of the names in messages: `"search."`.

  Raises:
    ValueError: naming the field, the value found and the type wanted.
  """
  hints = typing.get_type_hints(type(record))
  for field in dataclasses.fields(record):
    value, hint = getattr(record, field.name), hints[field.name]
    check_type(f"{prefix}{field.name}", value, hint)


def check_type(name: str, value: Any, hint: Any) -> None:
  """Refuses a value that is not of a type; see `check_types`.

  Args:
    name: of the field, for messages.
    value: what was found.
    hint: the annotation.
  """
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if origin is Literal:
    if value not in arguments:
      allowed = ", ".join(map(str, arguments))
      raise ValueError(f"{name} is {value!r}; it must be one of {allowed}")
    return
  kinds = arguments if origin is types.UnionType else (origin or hint,)
  # Exactly, since True is an int; but NumPy's float64 is a float for JSON too.
  exact = type(value) in kinds or (
    float in kinds
    and isinstance(value, int | float)
    and not isinstance(value, bool)
  )
  if not exact:
    wanted = " or ".join(kind.__name__ for kind in kinds)
    raise ValueError(
      f"{name} is {value!r}, of type {type(value).__name__}; it must be of "
      f"type {wanted}"
    )
  if isinstance(value, tuple):
    for index, item in enumerate(value):
      check_type(f"{name}[{index}]", item, arguments[0])
  elif dataclasses.is_dataclass(value):
    check_types(value, f"{name}.")
  elif isinstance(value, dict):
    for key, item in value.items():
      check_type(f"a name in {name}", key, arguments[0])
      check_type(f"{name}.{key}", item, arguments[1])
