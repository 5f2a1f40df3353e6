"""What a network computes before its first cell of some type, computed once.

Passes that differ only in the mixing weights of some cell types are the same
up to the first cell of those types: the stem and the cells before it. Their
outputs are recorded in one pass and stand in for them in the others.
"""

from collections.abc import Callable, Collection
from typing import Any

import flax.linen as nn

from jnas.nets.options import DEFAULT

# Outputs of the network's direct submodules, by name.
Recorded = dict[str, Any]


class _Reached(Exception):
  """Ends a pass at the first cell that is not the same in all of them."""


def record(
  net: Any, varied: Collection[str], run: Callable[[], Any]
) -> Recorded:
  """The outputs of the stem and of the cells before the first varied one.

  Args:
    net: a supernet, whose cells are called `cell_0`, `cell_1` and so on.
    varied: the cell types whose mixing weights differ.
    run: applies the network, once; cut short at the first varied cell.

  Returns:
    The outputs; none of a network that has no such cells, or that computes
    its cells again for a gradient.
  """
  if getattr(net, "options", DEFAULT).remat == "cell":
    return {}
  outputs: Recorded = {}

  def intercept(
    next_fun: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
  ) -> Any:
    if not _is_part(net, context):
      return next_fun(*args, **kwargs)
    name = str(context.module.name)
    if name.startswith("cell_"):
      plan = net.plan.cells[int(name.removeprefix("cell_"))]
      if plan.cell_type in varied:
        raise _Reached
    outputs[name] = next_fun(*args, **kwargs)
    return outputs[name]

  try:
    with nn.intercept_methods(intercept):
      run()
  except _Reached:
    return outputs
  return {}


def replay(net: Any, recorded: Recorded) -> Any:
  """Puts recorded outputs in place of the submodules, in a `with` block.

  Args:
    net: the network that they were recorded from.
    recorded: from `record`.
  """

  def intercept(
    next_fun: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
  ) -> Any:
    name = str(context.module.name)
    if _is_part(net, context) and name in recorded:
      return recorded[name]
    return next_fun(*args, **kwargs)

  return nn.intercept_methods(intercept)


def _is_part(net: Any, context: nn.module.InterceptorContext) -> bool:
  """Whether this is the call of a direct submodule of the network."""
  is_call = context.method_name == "__call__"
  return is_call and type(context.module.parent) is type(net)
