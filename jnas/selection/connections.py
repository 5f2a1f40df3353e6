"""Genotypes that keep every connection named, however many a node has.

Source: SNAS, Sec. 2.1 (the argmax of every edge); EnTranNAS, Eq. (10).
"""

import jax.numpy as jnp
import numpy as np

from jnas.functional import derive
from jnas.genotype import Cell, Genotype
from jnas.spaces import NONE, Space, nasbench201
from jnas.types import CellWeights


def argmax(weights: CellWeights, space: Space) -> Genotype:
  """The strongest operation of every edge; where that is `none`, nothing.

  A node may end without any connection. Ties go to the lowest index.

  Source: SNAS, Sec. 2.1; SPEC 3.3, "Derivation".

  Args:
    weights: `[E, K]` probabilities of each cell type.
    space: the search space.

  Returns:
    The genotype; a node's connections are in the order of their sources.
  """
  if space.every_edge:
    return nasbench201.derive(weights, space)
  return from_counts(
    {
      cell_type: derive.argmax_connections(
        weights[cell_type], jnp.asarray(space.mask(cell_type))
      )
      for cell_type in space.cell_types
    },
    space,
  )


def threshold(weights: CellWeights, space: Space) -> Genotype:
  """Every connection whose weight is above 0.

  Source: EnTranNAS, Eq. (10).

  Args:
    weights: `[E, K]` sparse weights of each cell type; weights that are whole
      numbers, such as those of a factorised cell, say how often a connection
      is used.
    space: the search space.

  Returns:
    The genotype; a node's connections are in the order of their sources.
  """
  counts = {}
  for cell_type in space.cell_types:
    weights_ek = np.asarray(weights[cell_type])
    whole = (weights_ek == np.round(weights_ek)).all()
    counts[cell_type] = np.where(whole, weights_ek, weights_ek > 0)
  return from_counts(counts, space)


def from_counts(counts: CellWeights, space: Space) -> Genotype:
  """The genotype that uses each connection so many times.

  Args:
    counts: `[E, K]` whole numbers of each cell type; `none` is left out.
    space: the search space.

  Returns:
    The genotype; a node's connections are in the order of their sources, then
    of the operations.
  """
  cells = {
    cell_type: _cell(np.asarray(counts[cell_type]), space, cell_type)
    for cell_type in space.cell_types
  }
  return Genotype(normal=cells["normal"], reduce=cells.get("reduce"))


def _cell(counts_ek: np.ndarray, space: Space, cell_type: str) -> Cell:
  nodes: list[tuple[tuple[str, int], ...]] = [()] * space.nodes_of(cell_type)
  for edge, (source, target) in enumerate(space.edges_of(cell_type)):
    for column, name in enumerate(space.ops[cell_type][edge]):
      if name != NONE:
        times = int(counts_ek[edge, column])
        nodes[target - space.num_inputs] += ((name, source),) * times
  return Cell(tuple(nodes), space.concat_of(cell_type), space.num_inputs)
