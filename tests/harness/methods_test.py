"""What every entry of `METHODS` owes, whatever it computes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas import methods
from jnas.methods import METHODS
from jnas.pipeline import networks
from jnas.selection import SELECTORS, magnitude
from jnas.spaces import SPACES
from tests.methods import contexts

# Operations that differ from edge to edge, and some that are missing.
RAGGED = "s1"
# Settings that a space needs of a method.
NEEDED = {("unas", "s1"): {"cell": "edges"}}
# Spaces that a method refuses, with the reason.
REFUSED = {("entrannas_dst", "darts"), ("entrannas_dst", "s3")}

each_method = pytest.mark.parametrize("name", METHODS)
each_space = pytest.mark.parametrize(
  "space", [RAGGED, "darts", "darts_no_none", "nasbench201"]
)


@dataclasses.dataclass
class Case:
  method: methods.Method
  settings: object
  arch: object
  context: methods.Context


def case(name, space_name, *, scale=1.0):
  if (name, space_name) in REFUSED:
    pytest.skip(f"{name} refuses {space_name}, see the test of refusals")
  space, method = SPACES[space_name], METHODS[name]
  if method.trains_candidates:
    pytest.skip(f"{name} has no supernet")
  settings = method.settings(**NEEDED.get((name, space_name), {}))
  arch = method.init(settings, jax.random.key(0), space)
  leaves, structure = jax.tree.flatten(arch)
  noise = [
    scale * jax.random.normal(jax.random.key(index), leaf.shape)
    for index, leaf in enumerate(leaves)
  ]
  arch = jax.tree.unflatten(
    structure, [leaf + n for leaf, n in zip(leaves, noise, strict=True)]
  )
  memory = method.init_memory(settings, space)
  return Case(method, settings, arch, contexts.make(space, memory=memory))


def check_weights(weights, space, *, largest):
  assert set(weights) == set(space.cell_types)
  for cell_type, value in weights.items():
    mask = space.mask(cell_type)
    value = np.asarray(value)
    assert value.dtype == np.float32
    assert value.shape[-2:] == mask.shape
    assert np.isfinite(value).all() and (value >= 0).all()
    assert (value <= largest + 1e-5).all()
    assert (value[..., ~mask] == 0).all()


@each_method
@each_space
def test_weights_are_finite_and_nothing_where_there_is_no_operation(
  name, space
):
  made = case(name, space)
  key = jax.random.key(1)
  context = made.context

  def mix(arch, memory):
    return made.method.mix(
      made.settings, arch, key, context._replace(memory=memory)
    )

  weights = jax.jit(mix)(made.arch, context.memory)
  again = jax.jit(mix)(made.arch, context.memory)
  check_weights(weights, context.space, largest=2.0)
  for cell_type in weights:
    np.testing.assert_array_equal(weights[cell_type], again[cell_type])
  probs = made.method.probs(made.settings, made.arch, context)
  check_weights(probs, context.space, largest=2.0)


@each_method
@each_space
def test_the_selector_reads_a_cell_of_the_space_off(name, space):
  made = case(name, space)
  decided = methods.decide(made.method, made.settings, made.arch, made.context)
  genotype = SELECTORS[made.method.selector](decided, made.context.space)
  weights = magnitude.chosen_weights(genotype, made.context.space)
  check_weights(weights, made.context.space, largest=2.0)
  networks.check_genotype(genotype)


@each_method
def test_a_transit_cell_is_what_would_be_derived(name):
  made = case(name, RAGGED)
  decided = methods.decide(made.method, made.settings, made.arch, made.context)
  genotype = SELECTORS[made.method.selector](decided, made.context.space)
  derived = magnitude.chosen_weights(genotype, made.context.space)
  transit = methods.transit(made.method, made.settings, made.arch, made.context)
  if name == "snas":
    pytest.skip("SNAS derives every edge; a Transit-cell keeps two a node")
  for cell_type, value in transit.items():
    assert set(np.unique(value)) <= {0.0, 1.0}
    np.testing.assert_array_equal(value, np.minimum(derived[cell_type], 1))


@each_method
@each_space
def test_the_objective_moves_the_architecture_and_only_that(name, space):
  """The gradient is finite, and 0 where there is no operation."""
  made = case(name, space)
  if "bilevel" not in made.method.schemes:
    pytest.skip(f"{name} has nothing to train")
  costs = {
    cell_type: jnp.asarray(
      np.random.default_rng(0).normal(
        size=made.context.space.mask(cell_type).shape
      ),
      jnp.float32,
    )
    for cell_type in made.context.space.cell_types
  }

  def loss(weights):
    each = sum(
      jnp.sum(costs[cell_type] * value, axis=(-2, -1))
      for cell_type, value in weights.items()
    )
    return jnp.broadcast_to(each, (made.context.batch_size,))

  losses = methods.Losses(train=loss, valid=lambda w: 2 * loss(w))

  def objective(arch):
    return methods.objective(
      made.method,
      made.settings,
      arch,
      jax.random.key(3),
      made.context,
      losses,
    )

  grad, memory = jax.jit(jax.grad(objective, has_aux=True))(made.arch)
  assert jax.tree.structure(memory) == jax.tree.structure(made.context.memory)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grad))
  assert any(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grad))


@each_method
def test_memory_keeps_its_structure(name):
  """Else the compiled step of the next step would not fit."""
  made = case(name, RAGGED)
  for function in (made.method.after_step, made.method.after_epoch):
    after = function(made.settings, made.arch, made.context)
    before = jax.tree.map(
      lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)),
      made.context.memory,
    )
    now = jax.tree.map(
      lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), after
    )
    assert before == now


@each_method
def test_the_authors_preset_names_fields_that_exist(name):
  from jnas import config, presets

  applied = presets.apply(
    config.Config(name="x", method=config.MethodConfig(name=name)), "authors"
  )
  assert applied.preset == "authors"
  fields = config.flatten(applied)
  for field, value in METHODS[name].authors.items():
    assert fields[field] == value
  config.check(applied)


@each_method
def test_schemes_are_known_and_the_default_is_first(name):
  schemes = METHODS[name].schemes
  assert schemes and set(schemes) <= set(methods.SCHEMES)


@pytest.mark.parametrize(("name", "space"), sorted(REFUSED))
def test_a_space_that_a_method_cannot_search_is_refused_with_the_reason(
  name, space
):
  with pytest.raises(ValueError, match="thresholds") as caught:
    METHODS[name].needs(SPACES[space])
  assert "\n" not in str(caught.value)
