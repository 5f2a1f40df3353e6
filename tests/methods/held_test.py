"""Methods whose decided edges are held at their operations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas import methods
from jnas.functional import decisions as rules
from jnas.methods import held
from jnas.spaces import SPACES
from tests.methods import contexts

SPACE = SPACES["s2"]
EDGE, GONE = 3, 7


def decided():
  """Edge 3 of the normal cell is given operation 1, edge 7 is removed."""
  made = held.undecided(SPACE)
  normal = rules.project(made["normal"], EDGE, 1)
  normal = normal._replace(
    discarded_e=normal.discarded_e.at[GONE].set(True),
    projected_e=normal.projected_e.at[GONE].set(True),
  )
  return made | {"normal": normal}


def setup(name, **settings):
  method = methods.METHODS[name]
  settings = method.settings(**settings)
  arch = method.init(settings, jax.random.key(0), SPACE)
  memory = held.Memory(method.init_memory(settings, SPACE), decided())
  context = contexts.make(SPACE, memory=memory, epoch=7)
  return method, settings, arch, context


@pytest.mark.parametrize(
  "name", ["darts", "sdarts_rs", "snas", "pc_darts", "gdas"]
)
def test_decided_edges_weigh_exactly_one_or_nothing(name):
  """H3, forwards."""
  method, settings, arch, context = setup(name)
  key = jax.random.key(1)
  wrapped = held.hold(method)
  for weights in (
    wrapped.mix(settings, arch, key, context),
    wrapped.probs(settings, arch, context),
  ):
    np.testing.assert_array_equal(weights["normal"][EDGE], [0.0, 1.0])
    np.testing.assert_array_equal(weights["normal"][GONE], [0.0, 0.0])
  inner = context._replace(
    memory=context.memory.inner,
    progress=context.progress._replace(epoch=jnp.asarray(49)),
  )
  others = [e for e in range(14) if e not in (EDGE, GONE)]
  plain = method.mix(settings, arch, key, inner)
  got = wrapped.mix(settings, arch, key, context)
  np.testing.assert_array_equal(got["reduce"], plain["reduce"])
  np.testing.assert_array_equal(
    np.asarray(got["normal"])[others], np.asarray(plain["normal"])[others]
  )


def test_each_example_may_have_a_sample_of_its_own():
  method, settings, arch, context = setup("snas", per_example=True)
  weights = held.hold(method).mix(settings, arch, jax.random.key(0), context)
  assert weights["normal"].shape == (4, 14, 2)
  np.testing.assert_array_equal(weights["normal"][:, EDGE], [[0.0, 1.0]] * 4)


@pytest.mark.parametrize(
  ("name", "settings"),
  [
    ("darts", {}),
    ("sdarts_rs", {}),
    ("pc_darts", {}),
    # Samples soft enough that every edge has a gradient to speak of.
    ("gdas", {"temperature_end": 5.0}),
    ("snas", {"temperature_end": 1.0}),
    # A cost of the parameters themselves, not through the network.
    ("snas", {"cost_weight": 1.0, "estimator": "analytic"}),
    ("snas", {"cost_weight": 1.0, "estimator": "policy_gradient"}),
  ],
)
def test_no_gradient_reaches_the_parameters_of_decided_edges(name, settings):
  """H3, backwards."""
  method, settings, arch, context = setup(name, **settings)
  slope = {
    cell_type: jnp.asarray(
      np.random.default_rng(0).normal(size=SPACE.mask(cell_type).shape)
    )
    for cell_type in SPACE.cell_types
  }

  def loss(weights):
    total = sum(jnp.sum(slope[name] * weights[name]) for name in slope)
    return total[None]

  losses = methods.Losses(train=loss, valid=loss)

  def objective(arch):
    value, memory = methods.objective(
      held.hold(method), settings, arch, jax.random.key(0), context, losses
    )
    return value, memory

  grad, memory = jax.grad(objective, has_aux=True)(arch)
  rows = grad["ops"]["normal"] if name == "pc_darts" else grad["normal"]
  np.testing.assert_array_equal(np.asarray(rows)[[EDGE, GONE]], 0.0)
  others = [e for e in range(14) if e not in (EDGE, GONE)]
  assert (np.abs(np.asarray(rows)[others]).max(axis=-1) > 1e-6).all()
  assert jax.tree.structure(memory) == jax.tree.structure(context.memory)


def test_schedules_stay_where_the_search_ended():
  method, settings, arch, context = setup(
    "darts", temperature=5.0, temperature_decay=0.9
  )
  arch = {name: 100.0 * leaf for name, leaf in arch.items()}
  last = contexts.make(SPACE, epoch=49)
  for epoch in (0, 7, 80):
    at_epoch = context._replace(
      progress=context.progress._replace(epoch=jnp.asarray(epoch))
    )
    weights = held.hold(method).probs(settings, arch, at_epoch)
    wanted = method.probs(settings, arch, last)
    np.testing.assert_array_equal(weights["reduce"], wanted["reduce"])


def test_what_the_method_remembers_passes_through():
  method = methods.METHODS["darts"]

  @dataclasses.dataclass(frozen=True)
  class Settings:
    pass

  counting = method._replace(
    settings=Settings,
    init_memory=lambda settings, space: jnp.zeros(()),
    after_step=lambda settings, arch, context: context.memory + 1,
    after_epoch=lambda settings, arch, context: context.memory * 10,
  )
  wrapped = held.hold(counting)
  memory = wrapped.init_memory(Settings(), SPACE)
  context = contexts.make(SPACE, memory=memory)
  memory = wrapped.after_step(Settings(), {}, context)
  memory = wrapped.after_epoch(Settings(), {}, context._replace(memory=memory))
  assert memory.inner == 10.0
  assert memory.decisions is context.memory.decisions
