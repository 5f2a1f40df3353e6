"""Selectors by name: from a trained supernet's weights to a genotype."""

from jnas.selection import connections, magnitude

SELECTORS = {
  "magnitude": magnitude.derive,
  "argmax": connections.argmax,
  "threshold": connections.threshold,
}

__all__ = ["SELECTORS"]
