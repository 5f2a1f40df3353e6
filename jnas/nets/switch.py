"""A Transit cell that computes only what an array of connections selects.

The work is that of the derived cell, and the program, compiled once, serves
every derived cell, with any number of connections. Only the nodes are stored
for the gradient, which walks back through the same loops.

Source: EnTranNAS, Sec. 2.2 and Eq. (6); DESIGN.md, section 4, "a zero weight
saves nothing under jit".
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jnas.nets import detached, loops, width
from jnas.nets.context import Context
from jnas.nets.layout import Layout, Selection, Weights
from jnas.nets.loops import at, put
from jnas.nets.ports import Port, Ports
from jnas.types import Array


def run(
  context: Context,
  variables: detached.Variables,
  inputs: Sequence[Array],
  structure: Array,
  scales: Array | None,
) -> Array:
  """A Transit cell's output, for `transit.TransitCell`.

  Args:
    context: of its operations.
    variables: its variables; the statistics of what runs are moved.
    inputs: one `[B, H, W, C]` for each input node.
    structure: `[E, K]` zeros and ones.
    scales: `[B, E]` factors of the edges, or None.

  Returns:
    `[B, H / stride, W / stride, C * len(concat)]`.
  """
  layout = Layout(context, variables, inputs[0])

  @jax.custom_vjp
  def compute(xs, params, stats, selection):
    return _forwards(layout, xs, params, stats, selection)[:2]

  def forwards(xs, params, stats, selection):
    nodes, moved, sums = _forwards(layout, xs, params, stats, selection)
    return (nodes, moved), (xs, params, stats, selection, sums)

  def backwards(residuals, cotangents):
    dxs, dparams = _backwards(layout, *residuals, dnodes=cotangents[0])
    return dxs, dparams, None, None

  compute.defvjp(forwards, backwards)
  nodes, moved = compute(
    jnp.stack(inputs),
    layout.pack(0),
    layout.pack(1),
    layout.select(structure, scales),
  )
  layout.write(moved)
  first = context.graph.num_inputs
  return jnp.concatenate(
    [nodes[node - first] for node in context.graph.concat], axis=-1
  )


def _forwards(
  layout: Layout,
  xs: Array,
  params: Weights,
  stats: Weights,
  selection: Selection,
) -> tuple[Array, Weights, Array]:
  """The nodes `[N, B, H', W', C]`, the statistics, and the slots."""
  context, first, base = layout.context, layout.first, layout.base
  ports = _ports(layout, params, stats, selection, xs.shape[-1])
  operands = _operands(params, stats, selection)
  moved, entered = list(stats.operations), stats.enter
  reads = []
  for node in range(first):
    x, row = ports.enter(node, xs[node])
    entered = put(entered, row, node)
    reads.append(x)
  batch, height, breadth, channels = xs.shape[1:]
  stride = context.plan.stride
  shape = (layout.graph.num_nodes, batch, height // stride, breadth // stride)
  slots = loops.zeros((*shape, context.inner), xs)
  if layout.is_merged:
    slots = jnp.concatenate([jnp.stack(reads), slots])
  else:
    read = jnp.stack(reads)

    def from_input(s: Array, carry):
      slots, moved = carry
      slots, rows = loops.forwards(
        layout.branches(0), operands[0], s, at(read, s), slots
      )
      return slots, put(moved, rows, s)

    slots, moved[0] = lax.fori_loop(0, first, from_input, (slots, moved[0]))

  def from_slot(s: Array, carry):
    slots, nodes, moved, entered, left = carry
    node, x, entered, left = ports.through(s, at(slots, s), entered, left)
    if layout.has_ports:
      nodes = put(nodes, node, ports.index(s))
    slots, rows = loops.forwards(layout.branches(-1), operands[-1], s, x, slots)
    return slots, nodes, put(moved, rows, s), entered, left

  # Without bottlenecks the sums are the nodes.
  nodes = loops.zeros((*shape, channels if layout.has_ports else 0), xs)
  slots, nodes, moved[-1], entered, left = lax.fori_loop(
    0,
    len(slots),
    from_slot,
    (slots, nodes, moved[-1], entered, stats.leave),
  )
  if not layout.has_ports:
    nodes = slots[first - base :]
  return nodes, Weights(tuple(moved), entered, left), slots


def _backwards(
  layout: Layout,
  xs: Array,
  params: Weights,
  stats: Weights,
  selection: Selection,
  slots: Array,
  dnodes: Array,
) -> tuple[Array, Weights]:
  """Gradients of the inputs and the parameters, from that of the nodes."""
  first, base = layout.first, layout.base
  ports = _ports(layout, params, stats, selection, xs.shape[-1])
  operands = _operands(params, stats, selection)
  zeros = jax.tree.map(jnp.zeros_like, params)
  doperations, dentered = list(zeros.operations), zeros.enter
  dslots = loops.zeros(slots.shape, dnodes)
  if not layout.has_ports:
    dslots = jnp.concatenate([dslots[: first - base], dnodes])

  def to_slot(i: Array, carry):
    dslots, rows, dentered, dleft = carry
    s = len(slots) - 1 - i
    total = at(slots, s)
    node, x, _, _ = ports.through(s, total, stats.enter, stats.leave)
    dx = jnp.zeros_like(x) if layout.has_ports else at(dslots, s)
    dx, new = loops.backwards(
      layout.branches(-1), operands[-1], s, x, dx, dslots
    )
    dtotal, dentered, dleft = ports.pull_through(
      s, total, node, dx, dnodes, dentered, dleft
    )
    return put(dslots, dtotal, s), put(rows, new, s), dentered, dleft

  dslots, doperations[-1], dentered, dleft = lax.fori_loop(
    0,
    len(slots),
    to_slot,
    (dslots, doperations[-1], dentered, zeros.leave),
  )
  if layout.is_merged:
    dreads = dslots[:first]
  else:
    reads = jnp.stack([ports.enter(s, xs[s])[0] for s in range(first)])

    def to_input(s: Array, carry):
      dreads, rows = carry
      dx, new = loops.backwards(
        layout.branches(0),
        operands[0],
        s,
        at(reads, s),
        at(dreads, s),
        dslots,
      )
      return put(dreads, dx, s), put(rows, new, s)

    dreads, doperations[0] = lax.fori_loop(
      0,
      first,
      to_input,
      (loops.zeros(reads.shape, dslots), doperations[0]),
    )
  dxs = []
  for node in range(first):
    row, dx = ports.enter.pull(node, xs[node], dreads[node])
    dentered = put(dentered, row, node)
    dxs.append(dx)
  return jnp.stack(dxs), Weights(tuple(doperations), dentered, dleft)


def _operands(
  params: Weights, stats: Weights, selection: Selection
) -> list[loops.Operands]:
  return [
    loops.Operands(*stage, selection.scales, selection.keys)
    for stage in zip(
      params.operations, stats.operations, selection.schedules, strict=True
    )
  ]


def _ports(
  layout: Layout,
  params: Weights,
  stats: Weights,
  selection: Selection,
  channels: int,
) -> Ports:
  """The bottlenecks before and behind the operations."""
  first, inner = layout.first, layout.context.inner
  ports = [None, None]
  if layout.has_ports:
    ports = [
      layout.port(width.reduce_name(0), inner),
      layout.port(width.expand_name(first), channels),
    ]
  return Ports(
    Port(ports[0], params.enter, stats.enter, selection.is_read),
    Port(ports[1], params.leave, stats.leave, selection.is_reached),
    layout.first,
    layout.base,
    channels,
  )
