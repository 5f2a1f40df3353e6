"""A network that does not compute what nothing weighs.

Under jit a mixing weight of 0 saves nothing. Where edges are decided most
weights are 0: here each edge is a branch, taken at run time, for nothing, for
one operation alone, or for all of them. The numbers are those of the whole
network, but for operations that draw.

Source: DESIGN.md, section 4, "A zero weight saves nothing under jit".
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnas.nets import cell, detached, graph, nasbench201_layers
from jnas.nets.options import Options
from jnas.ops import Settings
from jnas.types import Array, CellWeights

# By source and operation, `[T]`: a number for each edge that it serves.
Parts = Mapping[tuple[int, str], Array]


class _Cell(NamedTuple):
  """What the edges of one cell have in common."""

  graph: graph.CellGraph
  features: int
  stride: int
  settings: Settings
  variables: detached.Variables
  weights: Parts
  used: Parts
  noise: Array | None
  train: bool


def unused(net: Any, used: CellWeights) -> Any:
  """Leaves out unused operations of every cell applied in a `with` block.

  Batch statistics do not move within it. Cells that save work in another way
  (`supernet` in a config) are computed whole.

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
    module, train = context.module, kwargs.get("train", False)
    *inputs, weights = args
    if context.method_name != "__call__":
      return next_fun(*args, **kwargs)
    if type(module) is cell.Cell and module.options == Options():
      plan, stride = module.plan, module.plan.stride
      before_last, last = inputs
      inputs = cell.preprocess(plan, module.settings, before_last, last, train)
    elif type(module) is nasbench201_layers.BenchCell:
      plan, stride = net.plan.cells[_index(module)], 1
    else:
      return next_fun(*args, **kwargs)
    noise = module.make_rng("noise") if module.has_rng("noise") else None
    return _walk(
      _Cell(
        graph=module.graph,
        features=plan.features,
        stride=stride,
        settings=module.settings,
        variables=detached.Variables(module),
        weights=weights,
        used=flags[plan.cell_type],
        noise=noise,
        train=train,
      ),
      inputs,
    )

  return nn.intercept_methods(run)


def _index(module: nn.Module) -> int:
  return int(str(module.name).removeprefix("cell_"))


def _walk(one: _Cell, inputs: Sequence[Array]) -> Array:
  """As `graph.walk`, edge by edge."""
  batch, height, width, channels = inputs[0].shape
  shape = (batch, height // one.stride, width // one.stride, channels)
  nodes = dict(enumerate(inputs))
  for source in range(len(inputs) + one.graph.num_nodes):
    x = nodes.setdefault(source, jnp.zeros(shape, inputs[0].dtype))
    groups = [group for group in one.graph.groups if group.source == source]
    outputs = [_output(one, group, x) for group in groups]
    for target in {m.target for group in groups for m in group.members}:
      y = _edge(one, groups, outputs, target)
      nodes[target] = nodes[target] + y if target in nodes else y
  return jnp.concatenate([nodes[node] for node in one.graph.concat], axis=-1)


def _output(one: _Cell, group: graph.Group, x: Array) -> Callable[[int], Array]:
  """`[B, H', W', C]` of an operation, by the row of its edge.

  What is the same for all edges is computed once, if any uses it.
  """
  stride = one.stride if group.source < one.graph.num_inputs else 1
  params, stats = one.variables.read(
    graph.node_name(group.source), graph.module_name(group.op)
  )

  def run(rows: Sequence[int]) -> Array:
    module = graph.lookup(group.op).build(
      features=one.features,
      stride=stride,
      targets=len(rows),
      settings=one.settings,
      parent=None,
    )
    noise = one.noise
    if noise is not None:
      noise = jax.random.fold_in(
        jax.random.fold_in(noise, group.source), rows[0]
      )
    return detached.apply(
      module,
      detached.take(params, rows),
      detached.take(stats, rows),
      x[None],
      train=one.train,
      noise=noise,
    )[0]

  def of_row(row: int) -> Array:
    return run([row])[0]

  every = range(len(group.members))
  is_shared = jax.eval_shape(lambda: run(every)).shape[0] == 1
  if not is_shared:
    return of_row
  is_used = jnp.any(one.used[group.source, group.op])
  shared = jax.lax.cond(
    is_used,
    lambda: of_row(0),
    lambda: jnp.zeros(*_shape(lambda: of_row(0))),
  )
  return lambda row: shared


def _edge(
  one: _Cell,
  groups: Sequence[graph.Group],
  outputs: Sequence[Callable[[int], Array]],
  target: int,
) -> Array:
  """The mixed operations of the edge into a target."""
  terms, used = [], []
  for group, output in zip(groups, outputs, strict=True):
    for row, member in enumerate(group.members):
      if member.target == target:
        place = group.source, group.op
        used.append(one.used[place][row])
        weight = one.weights[place][row]

        def term(output=output, row=row, weight=weight) -> Array:
          y = output(row)
          return y * weight.astype(y.dtype)

        terms.append(term)
  used_k = jnp.stack(used)
  count = jnp.sum(used_k)

  def zero() -> Array:
    return jnp.zeros(*_shape(terms[0]))

  def mixed() -> Array:
    return functools.reduce(jnp.add, (term() for term in terms))

  alone = jnp.where(count == 1, 1 + jnp.argmax(used_k), 1 + len(terms))
  branch = jnp.where(count == 0, 0, alone)
  return jax.lax.switch(branch, [zero, *terms, mixed])


def _shape(function: Callable[[], Array]) -> tuple[tuple[int, ...], Any]:
  found = jax.eval_shape(function)
  return found.shape, found.dtype
