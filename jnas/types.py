"""Types that every layer shares: array aliases and small frozen records."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

Array = jax.Array
PRNGKey = jax.Array
PyTree = Any

# Mixing weights of each cell type, `[E, K]`, or `[B, E, K]` where each example
# has its own architecture.
CellWeights = Mapping[str, Array]
# What a method trains besides the network's parameters: a pytree of arrays.
ArchParams = Any


class Progress(NamedTuple):
  """How far a search has come, as traced scalars.

  Attributes:
    epoch: `[]` int32, the epoch under way, from 0.
    num_epochs: `[]` int32, the epochs of the whole search.
    step: `[]` int32, steps done since the search began.
  """

  epoch: Array
  num_epochs: Array
  step: Array
