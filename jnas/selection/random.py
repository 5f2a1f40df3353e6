"""Random genotypes: the baseline that every search must beat.

Source: SPEC 3.10.
"""

import jax
import numpy as np

from jnas.genotype import Cell, Genotype
from jnas.spaces import NONE, Space, nasbench201
from jnas.types import PRNGKey


def sample(key: PRNGKey, space: Space) -> Genotype:
  """A genotype drawn uniformly by the rules of derivation.

  Each node takes `edges_per_node` distinct sources uniformly, each with an
  operation drawn uniformly from its edge's list without `none`.

  Args:
    key: consumed.
    space: the search space.

  Returns:
    The genotype.
  """
  if space.every_edge:
    return nasbench201.sample(key, space)
  keys = jax.random.split(key, len(space.cell_types))
  cells = {
    cell_type: _sample_cell(cell_key, space, cell_type)
    for cell_type, cell_key in zip(space.cell_types, keys, strict=True)
  }
  return Genotype(normal=cells["normal"], reduce=cells.get("reduce"))


def _sample_cell(key: PRNGKey, space: Space, cell_type: str) -> Cell:
  nodes, edges = [], space.edges_of(cell_type)
  for node in range(space.nodes_of(cell_type)):
    source_key, op_key = jax.random.split(jax.random.fold_in(key, node))
    target = space.num_inputs + node
    candidates = np.array([source for source, into in edges if into == target])
    kept = min(space.edges_per_node, len(candidates))
    sources = np.sort(
      candidates[
        jax.random.choice(source_key, len(candidates), (kept,), replace=False)
      ]
    )
    incoming = []
    for index, source in enumerate(sources):
      edge = edges.index((int(source), target))
      names = [name for name in space.ops[cell_type][edge] if name != NONE]
      draw = jax.random.randint(
        jax.random.fold_in(op_key, index), (), 0, len(names)
      )
      incoming.append((names[int(draw)], int(source)))
    nodes.append(tuple(incoming))
  return Cell(tuple(nodes), space.concat_of(cell_type), space.num_inputs)
