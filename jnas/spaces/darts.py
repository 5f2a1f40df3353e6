"""The DARTS cell with one operation list on every edge.

Source: DARTS, Sec. 3.1.1; SPEC 2.1 for the lists and their order.
"""

from jnas.spaces import base

DARTS_OPS = (
  "none",
  "max_pool_3x3",
  "avg_pool_3x3",
  "skip_connect",
  "sep_conv_3x3",
  "sep_conv_5x5",
  "dil_conv_3x3",
  "dil_conv_5x5",
)
EXTENDED_OPS = (
  *DARTS_OPS[1:],
  "conv_1x1",
  "conv_3x3",
  "conv_1x3_3x1",
  "conv_1x5_5x1",
  "conv_1x7_7x1",
)
UNAS_CIFAR_OPS = (
  "skip_connect",
  "sep_conv_3x3",
  "max_pool_3x3",
  "dil_conv_3x3",
  "sep_conv_5x5",
  "avg_pool_3x3",
  "sep_conv_7x7",
)
NUM_INPUTS = 2
NUM_NODES = 4
NUM_EDGES = 14


def uniform_space(
  name: str, ops: tuple[str, ...], *, pool_norm: bool = True
) -> base.Space:
  """A DARTS cell pair with the same operation list on every edge."""
  return ragged_space(
    name, (ops,) * NUM_EDGES, (ops,) * NUM_EDGES, pool_norm=pool_norm
  )


def ragged_space(
  name: str,
  normal: tuple[tuple[str, ...], ...],
  reduce: tuple[tuple[str, ...], ...],
  *,
  pool_norm: bool = True,
) -> base.Space:
  """A DARTS cell pair with a list of its own on every edge of each type."""
  return base.Space(
    name=name,
    num_inputs=NUM_INPUTS,
    num_nodes=NUM_NODES,
    ops={"normal": normal, "reduce": reduce},
    concat=tuple(range(NUM_INPUTS, NUM_INPUTS + NUM_NODES)),
    pool_norm=pool_norm,
  )


DARTS = uniform_space("darts", DARTS_OPS)
# PT's "s5" and EnTranNAS's standard list: DARTS without `none`.
DARTS_NO_NONE = uniform_space("darts_no_none", DARTS_OPS[1:])
# EnTranNAS's list of 12 operations.
DARTS_EXTENDED = uniform_space("darts_extended", EXTENDED_OPS)
# UNAS's operations on DARTS's edges, without batch norms after pools.
UNAS_CIFAR = uniform_space("unas_cifar", UNAS_CIFAR_OPS, pool_norm=False)
# The first five of them, in UNAS's search on ImageNet.
UNAS_IMAGENET = uniform_space(
  "unas_imagenet", UNAS_CIFAR_OPS[:5], pool_norm=False
)
