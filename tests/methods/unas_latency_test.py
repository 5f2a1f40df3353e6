"""UNAS's loss of latency: what is measured and what it does to the logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas import methods
from jnas.functional import surrogate
from jnas.methods import unas
from tests.methods import contexts
from tests.pipeline import tiny

SPACE = tiny.SPACE
KEY = jax.random.key(3)


def linear(seed, *, bias=2.0):
  random = np.random.default_rng(seed)
  return surrogate.LinearModel(
    coefficients={
      name: jnp.asarray(
        random.uniform(size=SPACE.mask(name).shape), jnp.float32
      )
      for name in SPACE.cell_types
    },
    bias=jnp.asarray(bias, jnp.float32),
  )


LATENCY = methods.Latency(surrogate=linear(0), table=linear(1))


def settings(**changes):
  return unas.Settings(
    **{
      "latency_table": "a.json",
      "latency_target": 1.0,
      "latency_weight": 0.5,
      "latency_ramp": 0,
      **changes,
    }
  )


def logits(chosen, seed=0):
  arch = unas.init(chosen, KEY, SPACE)
  random = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: jnp.asarray(random.normal(size=leaf.shape), leaf.dtype), arch
  )


def gradient(chosen, *, latency=LATENCY, **memory):
  """The gradient of the latency's part: the losses are constant."""
  memory = unas.init_memory(chosen, SPACE) | memory
  context = contexts.make(SPACE, memory=memory)._replace(latency=latency)
  losses = methods.Losses(
    train=lambda weights: jnp.zeros(4), valid=lambda weights: jnp.zeros(4)
  )
  return jax.grad(
    lambda arch: unas.arch_objective(chosen, arch, KEY, context, losses),
    has_aux=True,
  )(logits(chosen))


def assert_same(found, wanted):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
    found,
    wanted,
  )


def largest(tree):
  return max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("cell", ["factorized", "edges"])
def test_a_measured_latency_counts_as_one_looked_up(cell):
  # SPEC 4.3, E16: what the clock says of the sample that it is shown gives the
  # gradient that the same number found in the graph gives.
  looked_up = settings(cell=cell, duplicate_weight=0.0)
  timed = settings(cell=cell, duplicate_weight=0.0, latency_measure="device")
  sample = unas.UNAS.timing.sample(timed, logits(timed), KEY, SPACE)
  milliseconds = surrogate.predict(LATENCY.table, sample)
  wanted, _ = gradient(looked_up)
  found, _ = gradient(timed, measured_ms=milliseconds)
  assert_same(found, wanted)
  assert largest(wanted) > 0.01
  other, _ = gradient(timed, measured_ms=milliseconds + 3)
  assert largest(jax.tree.map(jnp.subtract, other, wanted)) > 0.01


def test_the_latency_is_that_of_another_sample_than_the_losses():
  chosen = settings()
  context = contexts.make(SPACE, memory={})
  arch = logits(chosen)
  mixed = unas.mix(chosen, arch, KEY, context)
  sample = unas.latency_sample(chosen, arch, KEY, SPACE)
  for weights in (mixed, sample):
    assert all(np.sum(weights[name]) == 2 for name in SPACE.cell_types)
  assert any(np.any(mixed[name] != sample[name]) for name in SPACE.cell_types)


def test_a_latency_below_the_target_costs_nothing():
  found, _ = gradient(settings(latency_target=1e4, duplicate_weight=0.0))
  assert largest(found) == 0


def test_the_weight_grows_with_the_steps_of_the_architecture():
  ramp = settings(latency_ramp=4, duplicate_weight=0.0)
  whole, _ = gradient(settings(duplicate_weight=0.0))
  first, memory = gradient(ramp)
  assert largest(first) == 0
  assert memory["latency_steps"] == 1
  for steps, share in ((1, 0.25), (4, 1.0), (9, 1.0)):
    found, _ = gradient(ramp, latency_steps=jnp.asarray(steps))
    assert_same(found, jax.tree.map(lambda leaf, s=share: s * leaf, whole))


def test_gumbel_softmax_sees_no_measurement():
  chosen = settings(latency_estimator="gumbel_softmax", duplicate_weight=0.0)
  found, _ = gradient(chosen)
  other, _ = gradient(chosen, latency=LATENCY._replace(table=linear(7)))
  assert_same(found, other)
  relaxed, _ = gradient(settings(duplicate_weight=0.0))
  assert largest(jax.tree.map(jnp.subtract, found, relaxed)) > 0.01


def test_reinforce_keeps_its_baseline_beside_the_latency():
  chosen = settings(estimator="reinforce")
  _, memory = gradient(chosen)
  assert set(memory) == {
    "baseline",
    "has_baseline",
    "latency_steps",
    "measured_ms",
  }
  assert memory["has_baseline"]


def test_the_epochs_report_the_latency_of_the_likeliest_cell():
  chosen = settings()
  arch = logits(chosen)
  context = contexts.make(SPACE, memory={})
  assert "latency_ms" not in unas.report(chosen, arch, context)
  found = unas.report(chosen, arch, context._replace(latency=LATENCY))
  weights = unas.decide(chosen, arch, context)
  by_hand = 2.0 + sum(
    float(np.sum(LATENCY.surrogate.coefficients[name] * weights[name]))
    for name in SPACE.cell_types
  )
  assert float(found["latency_ms"]) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("name", ["target", "weight", "ramp"])
def test_negative_settings_are_refused(name):
  with pytest.raises(ValueError, match=f"latency_{name} -1"):
    settings(**{f"latency_{name}": -1})
