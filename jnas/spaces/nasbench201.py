"""The cell of NAS-Bench-201, and how cells of this kind are chosen.

One cell type with one input and three nodes, each taking every earlier node;
the last node is the output. A cell names an operation for each of its six
edges, `none` among them, so there are 5^6 = 15,625 cells.

Source: NAS-Bench-201 (arXiv:2001.00326), Sec. 2.1; SPEC 2.5.
"""

import jax
import numpy as np

from jnas.genotype import NASBENCH201_OPS, Cell, Genotype
from jnas.spaces import base
from jnas.types import CellWeights, PRNGKey

NUM_NODES = 3
NUM_EDGES = 6

NASBENCH201 = base.Space(
  name="nasbench201",
  num_inputs=1,
  num_nodes=NUM_NODES,
  ops={"normal": (NASBENCH201_OPS,) * NUM_EDGES},
  concat=(NUM_NODES,),
  pool_norm=False,
  edges_per_node=NUM_NODES,
  network="nasbench201",
  every_edge=True,
)


def derive(weights: CellWeights, space: base.Space) -> Genotype:
  """Every edge with its strongest operation, `none` included.

  Ties go to the lowest index.

  Source: NAS-Bench-201, Sec. 5, as DARTS is judged there; PT, Sec. 5.3.

  Args:
    weights: `[E, K]` mixing weights of each cell type.
    space: one whose derived cells name every edge.

  Returns:
    The genotype; its connections are in the order of the edges.
  """
  return _genotype(
    {
      cell_type: np.where(
        space.mask(cell_type), np.asarray(weights[cell_type]), -np.inf
      ).argmax(axis=-1)
      for cell_type in space.cell_types
    },
    space,
  )


def sample(key: PRNGKey, space: base.Space) -> Genotype:
  """A genotype drawn uniformly: each edge's operation from its whole list.

  The cell may be one whose output its input does not reach; ask
  `genotype.normal.is_connected()`.

  Source: SPEC 3.10.

  Args:
    key: consumed.
    space: one whose derived cells name every edge.

  Returns:
    The genotype.
  """
  keys = jax.random.split(key, len(space.cell_types))
  return _genotype(
    {
      cell_type: np.asarray(
        jax.random.randint(
          cell_key,
          (len(space.edges),),
          0,
          space.mask(cell_type).sum(axis=-1, dtype=np.int32),
        )
      )
      for cell_type, cell_key in zip(space.cell_types, keys, strict=True)
    },
    space,
  )


def _genotype(chosen: dict[str, np.ndarray], space: base.Space) -> Genotype:
  """The genotype of `[E]` operation indices for each cell type."""
  cells = {}
  for cell_type, index_e in chosen.items():
    nodes: list[list[tuple[str, int]]] = [[] for _ in range(space.num_nodes)]
    for (source, target), names, index in zip(
      space.edges, space.ops[cell_type], index_e, strict=True
    ):
      nodes[target - space.num_inputs].append((names[index], source))
    cells[cell_type] = Cell(
      tuple(map(tuple, nodes)), space.concat, space.num_inputs
    )
  return Genotype(cells["normal"], cells.get("reduce"), space=space.name)
