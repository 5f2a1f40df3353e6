"""Which method searches which space, how, and what may select from it."""

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


def table() -> str:
  """The combinations as a table in Markdown, made from the tables of names.

  The default scheme comes first. Selectors and `jnas select` take the
  supernet of any method that has one.
  """
  lines = [
    "| method | spaces | update schemes | selector |",
    "| --- | --- | --- | --- |",
  ]
  for name, method in METHODS.items():
    refused = [
      f"`{space}`"
      for space, value in SPACES.items()
      if not searches(method, value)
    ]
    spaces = f"all but {', '.join(refused)}" if refused else "all"
    schemes = ", ".join(f"`{scheme}`" for scheme in method.schemes)
    if method.trains_candidates:
      schemes = "no supernet"
    lines.append(f"| `{name}` | {spaces} | {schemes} | `{method.selector}` |")
  return "\n".join(lines)
