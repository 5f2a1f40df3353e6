"""Contexts for methods, made by hand."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jnas import methods
from jnas.spaces import Space
from jnas.types import Progress


def make(
  space: Space, *, epoch: int = 0, memory: Any = None, num_epochs: int = 50
) -> methods.Context:
  """A context whose costs tell edge, operation and cell type apart."""
  resources, edges = {}, {}
  for index, name in enumerate(space.cell_types):
    mask = space.mask(name)
    table = np.arange(mask.size).reshape(mask.shape) + 1000.0 * index
    table = np.where(mask, table, 0.0)
    resources[name] = np.stack([table, 100 * table, 10 * table], -1)[None]
    edges[name] = np.stack([table, 100 * table], -1)
  return methods.Context(
    space=space,
    progress=Progress(
      epoch=jnp.asarray(epoch),
      num_epochs=jnp.asarray(num_epochs),
      step=jnp.asarray(0),
    ),
    memory={} if memory is None else memory,
    resources=resources,
    sizes=methods.Sizes(base=np.array([100.0, 1000.0]), edges=edges),
    batch_size=4,
  )
