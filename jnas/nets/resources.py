"""What each operation on each edge costs, as tables over a space.

Source: SNAS, Sec. 2.4: parameters, multiply-adds and memory accesses.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jnas.genotype import Cell, Genotype
from jnas.nets import families, graph
from jnas.ops import Cost, Settings
from jnas.ops import base as ops_base
from jnas.spaces import Space


def resources(
  space: Space, plan: Any, *, size: tuple[int, int]
) -> dict[str, np.ndarray]:
  """Parameters, multiply-adds and memory accesses of a supernet's connections.

  Batch norms count nothing; pools count their additions.

  Source: SNAS, Sec. 2.4; SPEC 3.3, "Resource cost".

  Args:
    space: the search space.
    plan: stem, cells and classes.
    size: height and width of the images.

  Returns:
    For each cell type `[L, E, K, 3]` float64, L its cells in the plan; zeros
    where an edge has no such operation.
  """
  family = families.of(space)
  if family.resources is not None:
    return family.resources(space, plan, size=size)
  settings = Settings(affine=False, pool_norm=False)

  def row(cost: Cost) -> tuple[int, int, int]:
    return cost.params, cost.madds + cost.pool_additions, cost.accesses

  return {
    cell_type: np.array(cells, np.float64)
    for cell_type, cells in _tables(space, plan, size, settings, row).items()
  }


def sizes(
  space: Space,
  plan: Any,
  *,
  size: tuple[int, int],
  image_channels: int,
  settings: Settings,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
  """Parameters and multiply-adds of a derived network, linear in its choices.

  Args:
    space: the search space.
    plan: of the derived network.
    size: height and width of the images.
    image_channels: 3 for colour.
    settings: of the derived network's operations.

  Returns:
    `[2]` of everything but the edges, and for each cell type `[E, K, 2]` of an
    operation on an edge, summed over the cells of the type.
  """
  family = families.of(space)
  if family.sizes is not None:
    return family.sizes(space, plan, size=size, image_channels=image_channels)
  cell = Cell(((),) * space.num_nodes, space.concat, space.num_inputs)
  reduce = cell if "reduce" in space.cell_types else None
  empty = family.count_derived(
    Genotype(normal=cell, reduce=reduce),
    plan,
    size[0],
    image_channels,
    settings,
  )
  tables = _tables(
    space, plan, size, settings, lambda cost: (cost.params, cost.madds)
  )
  return np.array([empty.params, empty.madds], np.float64), {
    cell_type: np.sum(np.array(cells, np.float64), axis=0)
    for cell_type, cells in tables.items()
  }


def _tables(space, plan, size, settings, row) -> Mapping[str, list]:
  """For each cell type a list of its cells' `[E, K, ...]` rows."""
  tables: dict[str, list] = {name: [] for name in space.cell_types}
  shapes = families.of(space).cell_shapes(plan, *size)
  for cell, before in zip(plan.cells, shapes, strict=True):
    after = ops_base.strided(before, cell.stride)
    tables[cell.cell_type].append(
      [
        _edge(space, cell, edge, before, after, settings, row)
        for edge in range(len(space.edges))
      ]
    )
  return tables


def _edge(space, cell, edge, before, after, settings, row) -> list:
  """The K rows of an edge, zeros where it has fewer operations."""
  source, _ = space.edges[edge]
  from_input = source < space.num_inputs
  rows = [
    row(
      graph.lookup(name).cost(
        before if from_input else after,
        cell.stride if from_input else 1,
        settings,
      )
    )
    for name in space.ops[cell.cell_type][edge]
  ]
  missing = space.num_ops - len(rows)
  return [*rows, *[row(Cost())] * missing]
