"""UNAS's factorised cell: two inputs and two operations for each node.

Each node picks two of its predecessors and an operation for each. The four
choices are categoricals of their own, held as a pytree that
`jnas.functional.estimators` takes as it is:

    {"input": [[2, num_inputs] for node 0, [2, num_inputs + 1] for node 1, ...],
     "op": [nodes, 2, K]}

The same structure holds logits, one-hot draws and relaxed draws, the latter
two with any leading axes; log-probabilities are `categorical.log_prob`'s.

Source: UNAS, Sec. 4.1 and Figure 2; SPEC 2.6.
"""

from collections.abc import Mapping
from typing import Any

import chex
import jax.numpy as jnp

from jnas.types import Array

# "input": a list of arrays, one for each node; "op": an array.
Selectors = Mapping[str, Any]


def uniform_logits(
  *, num_inputs: int, num_nodes: int, num_ops: int
) -> dict[str, Any]:
  """Zero logits of one cell: every choice is equally likely.

  Source: SPEC 2.6: logits start at 0.

  Args:
    num_inputs: input nodes of the cell; 2 in DARTS.
    num_nodes: intermediate nodes.
    num_ops: K.

  Returns:
    `"input"`: a list of `[2, num_inputs + n]` for node n; `"op"`: `[nodes, 2,
    K]`.
  """
  return {
    "input": [jnp.zeros((2, num_inputs + node)) for node in range(num_nodes)],
    "op": jnp.zeros((num_nodes, 2, num_ops)),
  }


def cell_weights(selectors: Selectors) -> Array:
  """Weights of each edge's operations: i_n x o_n + i'_n x o'_n, outer products.

  Source: UNAS, Sec. 4.1; the rows are in the order of SPEC 1.3, by target and
  then by source.

  Args:
    selectors: one-hot or relaxed, leaves `[..., 2, sources]`, `[..., nodes, 2,
      K]`.

  Returns:
    `[..., E, K]` in 0..2, summing to 2 over the edges of each node.
  """
  inputs, ops = _checked(selectors)
  rows = [
    jnp.einsum("...sm,...sk->...mk", of_node, ops[..., node, :, :])
    for node, of_node in enumerate(inputs)
  ]
  return jnp.concatenate(rows, axis=-2)


def duplicates(selectors: Selectors) -> Array:
  """How many nodes of a cell pick the same input and operation twice.

  Source: UNAS, Appendix A.2: sum over nodes of tr([i x o][i' x o']^T), here as
  <i, i'> <o, o'>. The paper's L_arch is 0.2 times its sum over the cell types.

  Args:
    selectors: one-hot or relaxed, leaves `[..., 2, sources]`, `[..., nodes, 2,
      K]`.

  Returns:
    `[...]`: 1 for each node whose two pairs coincide; between 0 and 1 a node
    for relaxed selectors.
  """
  inputs, ops = _checked(selectors)
  same_input = jnp.stack(
    [jnp.sum(i[..., 0, :] * i[..., 1, :], axis=-1) for i in inputs], axis=-1
  )
  same_op = jnp.sum(ops[..., 0, :] * ops[..., 1, :], axis=-1)
  return jnp.sum(same_input * same_op, axis=-1)


def strongest_pairs(logits: Selectors) -> tuple[Array, Array]:
  """The likeliest choice of every factor: two (input, operation) pairs a node.

  Ties go to the lowest index. Both pairs of a node may name one input.

  Source: UNAS, Sec. 4: the configuration of highest probability; SPEC 2.6.

  Args:
    logits: leaves `[2, sources]`, `[nodes, 2, K]`; probabilities do as well.

  Returns:
    `[nodes, 2]` source nodes and `[nodes, 2]` operation indices.
  """
  inputs, ops = _checked(logits)
  sources = jnp.stack([jnp.argmax(i, axis=-1) for i in inputs])
  return sources, jnp.argmax(ops, axis=-1)


def _checked(selectors: Selectors) -> tuple[list[Array], Array]:
  inputs, ops = list(selectors["input"]), selectors["op"]
  chex.assert_axis_dimension(ops, -3, len(inputs))
  chex.assert_axis_dimension(ops, -2, 2)
  for node, of_node in enumerate(inputs):
    sources = inputs[0].shape[-1] + node
    chex.assert_shape(of_node, (*ops.shape[:-3], 2, sources))
  return inputs, ops
