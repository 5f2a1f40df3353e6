"""Search methods by name."""

from jnas.methods import darts
from jnas.methods.base import Method

METHODS = {
  "darts": darts.DARTS,
}

__all__ = ["METHODS", "Method"]
