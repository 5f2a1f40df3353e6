"""Which method searches which space, how, and what may select from it."""

from typing import Any

import jax

from jnas.methods import METHODS, Method
from jnas.spaces import SPACES, Space


def searches(method: Method, space: Space) -> bool:
  """Whether a method with its default settings searches a space."""
  if method.trains_candidates:
    return True
  try:
    if method.needs is not None:
      method.needs(space)
    jax.eval_shape(
      lambda: method.init(method.settings(), jax.random.key(0), space)
    )
  except ValueError:
    return False
  return True


def describe() -> dict[str, dict[str, Any]]:
  """What each method goes with.

  Returns:
    By method: `spaces` and update `schemes`, names of them, the default scheme
    first; `selector`, the default one. Selectors and `jnas select` take the
    supernet of any method that has one; methods without have no schemes.
  """
  return {
    name: {
      "spaces": [
        space for space, value in SPACES.items() if searches(method, value)
      ],
      "schemes": [] if method.trains_candidates else list(method.schemes),
      "selector": method.selector,
    }
    for name, method in METHODS.items()
  }


def table() -> str:
  """The same as a table in Markdown."""
  lines = [
    "| method | spaces | update schemes | selector |",
    "| --- | --- | --- | --- |",
  ]
  for name, goes in describe().items():
    refused = [space for space in SPACES if space not in goes["spaces"]]
    spaces = f"all but {_quoted(refused)}" if refused else "all"
    schemes = _quoted(goes["schemes"]) or "no supernet"
    lines.append(f"| `{name}` | {spaces} | {schemes} | `{goes['selector']}` |")
  return "\n".join(lines)


def _quoted(names: list[str]) -> str:
  return ", ".join(f"`{name}`" for name in names)
