"""A limit on the skip connections of a derived cell.

Source: P-DARTS (arXiv:1904.12760), Sec. 3.3.2, search space regularisation.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jnas.genotype import Genotype
from jnas.spaces import SKIP, Space
from jnas.types import CellWeights


def limit(
  selector: Callable[[CellWeights, Space], Genotype],
  weights: CellWeights,
  space: Space,
  *,
  max_skips: int,
) -> Genotype:
  """Derives again and again, the weakest skip connection forbidden each time.

  Source: P-DARTS, Sec. 3.3.2: M skip connections are kept in a normal cell, and
  a cell with more is derived anew without the weakest.

  Args:
    selector: from mixing weights to a genotype.
    weights: `[E, K]` mixing weights of each cell type.
    space: the search space.
    max_skips: skip connections that the normal cell may have; 2 in the paper.

  Returns:
    A genotype with at most so many.

  Raises:
    ValueError: if the space offers nothing else on the edges needed.
  """
  normal_ek = np.array(weights["normal"])
  skip_ek = space.is_op("normal", SKIP)
  for _ in range(int(skip_ek.sum()) + 1):
    genotype = selector({**weights, "normal": jnp.asarray(normal_ek)}, space)
    kept = [
      (normal_ek[edge][skip_ek[edge]].max(), edge)
      for edge, (source, target) in enumerate(space.edges)
      if (SKIP, source) in genotype.normal.nodes[target - space.num_inputs]
    ]
    if len(kept) <= max_skips:
      return genotype
    _, weakest = min(kept)
    normal_ek[weakest][skip_ek[weakest]] = 0.0
  raise ValueError(
    f"progressive.max_skips is {max_skips}, but space {space.name!r} leaves no "
    "cell with so few skip connections"
  )
