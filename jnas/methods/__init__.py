"""Search methods by name."""

from jnas.methods import darts
from jnas.methods.base import (
  SCHEMES,
  Context,
  Losses,
  Method,
  Sizes,
  decide,
  objective,
  transit,
)

METHODS = {
  "darts": darts.DARTS,
}

__all__ = [
  "METHODS",
  "SCHEMES",
  "Context",
  "Losses",
  "Method",
  "Sizes",
  "decide",
  "objective",
  "transit",
]
