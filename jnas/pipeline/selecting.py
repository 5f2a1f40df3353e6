"""When selection happens: in a stage of its own, or within the search."""

from jnas import config as configs
from jnas import registry
from jnas.methods import METHODS, Method


def decides_edges(config: configs.Config) -> bool:
  """Whether the method decides edges while it searches.

  Raises:
    ValueError: for a method that is unknown.
  """
  method = registry.resolve(config.method.name, METHODS, "method", of=Method)
  return method.decides_edges


def inside(config: configs.Config) -> bool:
  """Whether perturbation takes part in the decisions of the search."""
  return config.selection.name == "perturbation" and decides_edges(config)


def after(config: configs.Config) -> bool:
  """Whether a stage of its own selects after the search."""
  return config.selection.name != "none" and not inside(config)
