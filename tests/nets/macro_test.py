"""SPEC 2.2 and 2.3, and 4.1 A3: how cells are stacked, and their shapes."""

import functools

import jax
import jax.numpy as jnp
import pytest

from jnas import genotype as genotypes
from jnas.nets import cell, derived, graph, heads, macro
from jnas.ops import Settings
from jnas.spaces import SPACES

DERIVED = Settings(affine=True, pool_norm=False)


def plan_of(num_cells, *, features=16, stem="cifar"):
  return macro.plan(
    num_cells=num_cells, features=features, num_classes=10, stem=stem
  )


def shape_of(module, *args, **kwargs):
  """Shapes of a module's outputs, without computing."""
  return jax.eval_shape(
    lambda *args: module.init_with_output(
      jax.random.key(0), *args, train=True, **kwargs
    )[0],
    *args,
  )


@pytest.mark.parametrize(
  ("num_cells", "reductions"),
  [(3, [1, 2]), (5, [1, 3]), (8, [2, 5]), (14, [4, 9]), (20, [6, 13])],
)
@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_two_cells_reduce_and_double_the_channels(num_cells, reductions, stem):
  plan = plan_of(num_cells, stem=stem)
  assert len(plan.cells) == num_cells
  for index, cell_plan in enumerate(plan.cells):
    is_reduction = index in reductions
    assert cell_plan.cell_type == ("reduce" if is_reduction else "normal")
    assert cell_plan.stride == (2 if is_reduction else 1)
    passed = sum(reduction <= index for reduction in reductions)
    assert cell_plan.features == 16 * 2**passed
    # After a reduction cell, and first of all after the ImageNet stem.
    after_stem = index == 0 and stem == "imagenet"
    assert cell_plan.halve_first == (index - 1 in reductions or after_stem)
  # The auxiliary head sits on the second reduction cell.
  assert plan.auxiliary_cell == reductions[1]


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"num_cells": 2}, "2 cells: at least 3 are needed"),
    ({"features": 5}, "5 channels: the number must be even"),
    ({"features": 0}, "0 channels: the number must be even and at least 2"),
  ],
)
def test_a_plan_without_meaning_is_one_clear_line(options, message):
  sizes = {"num_cells": 8, "features": 16, **options}
  with pytest.raises(ValueError, match=message):
    macro.plan(num_classes=10, stem="cifar", **sizes)


@pytest.mark.parametrize(
  ("stem", "good", "bad", "divisor"),
  [
    ("cifar", (4, 32, 36), (0, 2, 30, 33), 4),
    ("imagenet", (32, 64, 224), (0, 16, 33, 112), 32),
  ],
)
def test_images_that_cannot_be_halved_are_refused(stem, good, bad, divisor):
  for size in good:
    macro.check_image(size, size, stem)
  for size in bad:
    with pytest.raises(ValueError, match=f"must be multiples of {divisor} "):
      macro.check_image(good[0], size, stem)
    with pytest.raises(ValueError, match=f"images of {size}x{good[0]}: "):
      macro.check_image(size, good[0], stem)


@pytest.mark.parametrize("space", ["darts", "s1", "s2", "unas_cifar"])
@pytest.mark.parametrize("cell_type", ["normal", "reduce"])
def test_a_supernet_cell_halves_where_it_reduces_and_joins_four_nodes(
  space, cell_type
):
  stride = 2 if cell_type == "reduce" else 1
  cell_graph = graph.supernet_graph(SPACES[space], cell_type)
  weights = graph.split_weights(
    cell_graph, jnp.ones((14, SPACES[space].num_ops))
  )
  module = cell.Cell(
    cell_graph,
    macro.CellPlan(cell_type, 6, stride, halve_first=False),
    Settings(affine=False, pool_norm=SPACES[space].pool_norm),
  )
  x = jnp.zeros((2, 8, 12, 10))
  y = shape_of(module, x, x, weights=weights)
  assert y.shape == (2, 8 // stride, 12 // stride, 4 * 6)


def test_the_first_input_is_halved_after_a_reduction_cell():
  cell_graph = graph.derived_graph(genotypes.parse("DARTS_V2").normal)
  plan = macro.CellPlan("normal", 6, 1, halve_first=True)
  module = cell.Cell(cell_graph, plan, DERIVED)
  y = shape_of(module, jnp.zeros((2, 16, 16, 10)), jnp.zeros((2, 8, 8, 20)))
  assert y.shape == (2, 8, 8, 24)
  with pytest.raises(ValueError, match="an image of 7x7: height and width"):
    shape_of(module, jnp.zeros((2, 7, 7, 10)), jnp.zeros((2, 4, 4, 20)))


@pytest.mark.parametrize(
  ("name", "outputs"),
  # AmoebaNet joins nodes 4, 5, 6 and 3, 4, 6 of seven.
  [("DARTS_V1", (4, 4)), ("AmoebaNet", (3, 3))],
)
def test_the_output_has_the_channels_of_the_nodes_it_joins(name, outputs):
  genotype = genotypes.parse(name)
  for cell_type, count in zip(genotype.cells(), outputs, strict=True):
    stride = 2 if cell_type == "reduce" else 1
    module = cell.Cell(
      graph.derived_graph(genotype.cells()[cell_type]),
      macro.CellPlan(cell_type, 6, stride, halve_first=False),
      DERIVED,
    )
    x = jnp.zeros((2, 8, 8, 10))
    y = shape_of(module, x, x)
    assert y.shape == (2, 8 // stride, 8 // stride, count * 6)


def test_the_cifar_stem_triples_the_channels_at_full_resolution():
  before_last, last = shape_of(
    heads.Stem("cifar", 16), jnp.zeros((2, 32, 32, 3))
  )
  assert before_last.shape == last.shape == (2, 32, 32, 48)


def test_the_imagenet_stem_gives_a_quarter_and_an_eighth():
  before_last, last = shape_of(
    heads.Stem("imagenet", 48), jnp.zeros((1, 224, 224, 3))
  )
  assert before_last.shape == (1, 56, 56, 48)
  assert last.shape == (1, 28, 28, 48)


# Images of 32x32 after two reductions, of 224x224 after the stem and two.
@pytest.mark.parametrize(("stem", "pixels"), [("cifar", 8), ("imagenet", 7)])
def test_the_auxiliary_head_takes_the_output_of_the_last_reduction(
  stem, pixels
):
  head = heads.AuxiliaryHead(stem, 7)
  images = jnp.zeros((3, pixels, pixels, 20))
  assert shape_of(head, images).shape == (3, 7)
  variables = jax.eval_shape(
    lambda: head.init(jax.random.key(0), images, train=True)
  )
  # Two by two pixels of 128 channels: the pool gave 2x2. The second norm is
  # left out on ImageNet (D40).
  assert variables["params"]["conv_2"].shape == (4 * 128, 768)
  assert ("norm_2" in variables["params"]) == (stem == "cifar")


@pytest.mark.parametrize(
  ("stem", "good", "bad"),
  [("cifar", (32, 36), (28, 44, 64)), ("imagenet", (224, 256), (192, 288))],
)
def test_images_too_small_or_large_for_the_auxiliary_head_are_refused(
  stem, good, bad
):
  for size in good:
    heads.check_auxiliary(size, size, stem)
  for size in bad:
    with pytest.raises(ValueError, match="2x2 pixels after its pool"):
      heads.check_auxiliary(good[0], size, stem)


@pytest.mark.parametrize("name", ["DARTS_V2", "SNAS_aggressive_edge_all"])
def test_the_auxiliary_logits_are_there_in_training_only(name):
  genotype = genotypes.parse(name)
  plan = plan_of(3, features=4)
  images = jnp.zeros((2, 32, 32, 3))
  for auxiliary in (True, False):
    net = derived.build(genotype, plan, auxiliary=auxiliary)
    variables = jax.eval_shape(
      functools.partial(net.init, train=False), jax.random.key(0), images
    )
    assert ("auxiliary" in variables["params"]) == auxiliary
    for train in (True, False):
      outputs, _ = jax.eval_shape(
        functools.partial(net.apply, train=train, mutable=["batch_stats"]),
        variables,
        images,
      )
      assert outputs.logits.shape == (2, 10)
      assert (outputs.auxiliary is not None) == (auxiliary and train)


def test_a_genotype_of_one_cell_type_has_no_such_network():
  genotype = genotypes.from_nasbench201_index(0)
  with pytest.raises(ValueError, match="the genotype has no reduction cell"):
    derived.build(genotype, plan_of(3), auxiliary=False)
