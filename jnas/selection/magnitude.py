"""Selection by the magnitude of the mixing weights.

Source: DARTS, Sec. 2.4; SPEC 3.1, "Derivation".
"""

import jax.numpy as jnp
import numpy as np

from jnas.functional import derive as rules
from jnas.genotype import Cell, Genotype
from jnas.spaces import NONE, Space, nasbench201
from jnas.types import Array, CellWeights


def derive(weights: CellWeights, space: Space) -> Genotype:
  """The strongest operation of the strongest edges of each node.

  `none` is never chosen. Ties go to the lowest index; a node's connections
  are ordered by strength, the strongest first.

  Args:
    weights: `[E, K]` mixing weights of each cell type.
    space: the search space.

  Returns:
    The genotype.
  """
  if space.every_edge:
    return nasbench201.derive(weights, space)
  cells = {
    cell_type: _derive_cell(weights[cell_type], space, cell_type)
    for cell_type in space.cell_types
  }
  return Genotype(normal=cells["normal"], reduce=cells.get("reduce"))


def chosen_weights(genotype: Genotype, space: Space) -> dict[str, np.ndarray]:
  """One-hot mixing weights that make the supernet compute a genotype.

  Args:
    genotype: connections of the space, each edge used at most once.
    space: the search space.

  Returns:
    `[E, K]` float32 zeros and ones for each cell type.

  Raises:
    ValueError: for a connection that is not in the space.
  """
  cells = {"normal": genotype.normal, "reduce": genotype.reduce}
  weights = {}
  for cell_type in space.cell_types:
    cell = cells[cell_type]
    if cell is None:
      raise ValueError(f"the genotype has no {cell_type} cell")
    edges = space.edges_of(cell_type)
    one_hot = np.zeros(space.mask(cell_type).shape, np.float32)
    for node, incoming in enumerate(cell.nodes):
      for name, source in incoming:
        edge = (source, space.num_inputs + node)
        names = space.ops[cell_type][edges.index(edge)] if edge in edges else ()
        if name not in names:
          raise ValueError(
            f"{cell_type} cell: {name!r} from node {source} to node "
            f"{edge[1]} is not in space {space.name!r}; allowed there: "
            f"{', '.join(names) or 'no edge'}"
          )
        one_hot[edges.index(edge), names.index(name)] += 1
    weights[cell_type] = one_hot
  return weights


def _derive_cell(weights_ek: Array, space: Space, cell_type: str) -> Cell:
  edges = space.edges_of(cell_type)
  allowed_ek = jnp.asarray(
    space.mask(cell_type) & ~space.is_op(cell_type, NONE)
  )
  targets = jnp.array([target for _, target in edges])
  op_e, strength_e = rules.strongest_ops(weights_ek, allowed_ek)
  rank_e = np.asarray(
    rules.strongest_edges(strength_e, targets, num_edges=space.edges_per_node)
  )
  nodes = []
  for node in range(space.nodes_of(cell_type)):
    kept = [
      (rank_e[edge], space.ops[cell_type][edge][int(op_e[edge])], source)
      for edge, (source, target) in enumerate(edges)
      if target == space.num_inputs + node and rank_e[edge] >= 0
    ]
    nodes.append(tuple((name, source) for _, name, source in sorted(kept)))
  return Cell(tuple(nodes), space.concat_of(cell_type), space.num_inputs)
