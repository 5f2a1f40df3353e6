"""Which options a supernet takes, and which of its cells are Engine cells."""

import jax.numpy as jnp
import pytest

from jnas.nets import macro, options
from jnas.nets.options import Options
from tests.nets import small

PLAN = macro.plan(num_cells=8, features=16, num_classes=10, stem="cifar")


@pytest.mark.parametrize(
  ("engine", "expected"),
  [
    # Cells 2 and 5 reduce.
    ("all", {0, 1, 2, 3, 4, 5, 6, 7}),
    ("first", {0, 2}),
    ("last", {5, 7}),
    ("half", {0, 1, 3, 2}),
  ],
)
def test_engine_cells_of_eight(engine, expected):
  assert options.engine_cells(engine, PLAN) == expected


def test_every_type_has_an_engine_cell_in_the_smallest_network():
  # A normal cell and two that reduce.
  for engine, expected in (
    ("first", {0, 1}),
    ("last", {0, 2}),
    ("half", {0, 1}),
  ):
    assert options.engine_cells(engine, small.PLAN) == expected


@pytest.mark.parametrize(
  ("chosen", "message"),
  [
    (Options(engine="one"), "engine 'one': use one of all, first, half, last"),  # type: ignore[arg-type]
    (Options(dtype="float16"), "use one of float32, bfloat16"),  # type: ignore[arg-type]
    (Options(bottleneck=3), "bottleneck 3"),
    (Options(bottleneck=0), "bottleneck 0"),
    (Options(partial_channels=16), "must divide"),
    (Options(bottleneck=2, partial_channels=2), "set one of them"),
    (Options(engine="first", partial_channels=2), "engine 'first'"),
  ],
)
def test_options_that_make_no_sense_are_refused(chosen, message):
  with pytest.raises(ValueError, match=message):
    options.check(chosen, PLAN)


def test_a_call_without_the_derived_connections_is_refused():
  images = jnp.zeros((1, 8, 8, 3))
  weights = {kind: jnp.zeros(small.SHAPE) for kind in small.SPACE.cell_types}
  apart = small.build(Options(engine="first"))
  with pytest.raises(ValueError, match="missing"):
    apart.apply({}, images, weights, train=True)
  whole = small.build()
  with pytest.raises(ValueError, match="of no use"):
    whole.apply({}, images, weights, weights, train=True)
  with pytest.raises(ValueError, match="partial_channels 1"):
    whole.apply({}, images, weights, train=True, edge_weights=weights)
