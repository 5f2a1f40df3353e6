"""A search in stages, each deeper and with fewer operations than the last.

Source: P-DARTS (arXiv:1904.12760), Sec. 3.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jnas.pipeline import networks, problem
from jnas.spaces import Space


def stages(found: problem.Problem) -> int:
  """How many stages a search has."""
  return max(len(found.config.progressive.cells), 1)


def at_stage(found: problem.Problem, index: int) -> problem.Problem:
  """The problem of one stage, in the space that it starts from.

  Args:
    found: the problem, its space that of the stage.
    index: of the stage, from 0.
  """
  config = found.config
  if not config.progressive.cells:
    return found
  search = dataclasses.replace(
    config.search,
    cells=config.progressive.cells[index],
    drop_skip=config.progressive.drop_skip[index],
  )
  return dataclasses.replace(
    found, config=dataclasses.replace(config, search=search)
  )


def prune(
  space: Space, weights: Mapping[str, Sequence[Any]], *, num_ops: int
) -> Space:
  """The space with the strongest operations of each edge alone.

  Source: P-DARTS, Sec. 3.2, search space approximation.

  Args:
    space: of the stage that ended.
    weights: `[E, K]` mixing weights of each cell type at its end.
    num_ops: operations that an edge keeps at most.

  Returns:
    A space whose operations are in the same order; ties keep the first.
  """
  ops = {}
  for cell_type in space.cell_types:
    rows = []
    for names, row in zip(
      space.ops[cell_type], np.asarray(weights[cell_type]), strict=True
    ):
      order = np.argsort(-row[: len(names)], kind="stable")[:num_ops]
      rows.append(tuple(names[column] for column in sorted(order)))
    ops[cell_type] = tuple(rows)
  return dataclasses.replace(space, ops=ops)


def check(found: problem.Problem) -> None:
  """Refuses stages that the space or the network cannot have.

  Raises:
    ValueError: naming the value found and the values allowed.
  """
  sizes = found.config.progressive.ops
  if sizes and sizes[0] != found.space.num_ops:
    raise ValueError(
      f"progressive.ops starts with {sizes[0]}; space {found.space.name!r} has "
      f"{found.space.num_ops} operations on an edge"
    )
  for index in range(stages(found)):
    networks.search_net(at_stage(found, index))
