"""A network that does not compute what nothing weighs.

Under jit a mixing weight of 0 saves nothing. Where edges are decided most
weights are 0; here an operation on an edge is a branch that is taken only
where its weight is not. The numbers are those of the whole network.

Source: DESIGN.md, section 4, "A zero weight saves nothing under jit".
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnas.nets import cell, detached, graph
from jnas.types import Array, CellWeights, PyTree


def unused(net: Any, used: CellWeights) -> Any:
  """Leaves out unused operations of every cell applied in a `with` block.

  Batch statistics do not move within it.

  Args:
    net: a supernet, whose cells are called `cell_0`, `cell_1` and so on.
    used: `[E, K]` booleans of each cell type, traced: True where an operation
      has a weight.
  """
  flags = {
    cell_type: graph.split_weights(net.graphs[cell_type], used_ek)
    for cell_type, used_ek in used.items()
  }

  def run(
    next_fun: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
  ) -> Any:
    node = context.module
    if not isinstance(node, cell.SourceNode):
      return next_fun(*args, **kwargs)
    group, x = args
    variables = detached.Variables(node).read(graph.module_name(group.op))
    if not jax.tree.leaves(variables):  # costs next to nothing, or draws
      return next_fun(*args, **kwargs)
    plan = net.plan.cells[int(node.path[0].removeprefix("cell_"))]
    used_t = flags[plan.cell_type][group.source, group.op]
    return _run(node, group, x, used_t, variables, train=kwargs["train"])

  return nn.intercept_methods(run)


def _run(
  node: cell.SourceNode,
  group: graph.Group,
  x: Array,
  used_t: Array,
  variables: tuple[PyTree, PyTree],
  *,
  train: bool,
) -> Array:
  """`[T or 1, B, H', W', C]`, zero where an edge is not used."""
  module = graph.lookup(group.op).build(
    features=node.features,
    stride=node.stride,
    targets=1,
    settings=node.settings,
    parent=None,
  )

  def compute(x: Array, params: PyTree, stats: PyTree) -> Array:
    return detached.apply(module, params, stats, x[None], train=train)[0]

  def zero(x: Array, params: PyTree, stats: PyTree) -> Array:
    shape = jax.eval_shape(compute, x, params, stats)
    return jnp.zeros(shape.shape, shape.dtype)

  num_rows = jax.tree.leaves(variables)[0].shape[0]
  outputs = [
    jax.lax.cond(
      jnp.any(used_t) if num_rows == 1 else used_t[row],
      compute,
      zero,
      x,
      *detached.take(variables, [row]),
    )
    for row in range(num_rows)
  ]
  return jnp.concatenate(outputs)
