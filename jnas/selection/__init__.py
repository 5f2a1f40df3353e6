"""Selectors by name: from a trained supernet's weights to a genotype."""

from jnas.selection import magnitude

SELECTORS = {
  "magnitude": magnitude.derive,
}

__all__ = ["SELECTORS"]
