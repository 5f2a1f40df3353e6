"""DARTS as pure functions over its logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas import methods
from jnas.methods import darts
from jnas.spaces import SPACES
from tests.methods import contexts

SPACE = SPACES["s1"]


def test_initial_logits_are_small_and_of_the_key():
  arch = darts.init(darts.Settings(), jax.random.key(0), SPACE)
  again = darts.init(darts.Settings(), jax.random.key(0), SPACE)
  other = darts.init(darts.Settings(), jax.random.key(1), SPACE)
  for name in ("normal", "reduce"):
    assert arch[name].shape == (14, SPACE.num_ops)
    assert np.array_equal(arch[name], again[name])
    assert not np.array_equal(arch[name], other[name])
    assert 5e-4 < np.std(arch[name]) < 2e-3
  assert not np.array_equal(arch["normal"], arch["reduce"])


def test_objective_has_the_gradient_of_the_loss_through_the_softmax():
  """d/da_k of sum_j c_j w_j is w_k (c_k - sum_j c_j w_j)."""
  settings = darts.Settings()
  arch = darts.init(settings, jax.random.key(2), SPACE)
  costs = {
    name: jnp.asarray(np.random.default_rng(0).normal(size=leaf.shape))
    for name, leaf in arch.items()
  }

  def loss(weights):
    return sum(jnp.sum(costs[name] * weights[name]) for name in costs)

  context = contexts.make(SPACE)
  losses = methods.Losses(train=lambda weights: jnp.zeros(1), valid=loss)

  def objective(arch):
    key = jax.random.key(0)
    return methods.objective(darts.DARTS, settings, arch, key, context, losses)[
      0
    ]

  grad = jax.grad(objective)(arch)
  weights = darts.probs(settings, arch, context)
  for name, leaf in grad.items():
    w, c = np.asarray(weights[name]), np.asarray(costs[name])
    expected = w * (c - (c * w).sum(-1, keepdims=True))
    np.testing.assert_allclose(leaf, expected, atol=1e-6)
    assert (np.asarray(leaf)[~np.asarray(SPACE.mask(name))] == 0).all()


def test_temperature_sharpens_over_the_epochs():
  settings = darts.Settings(temperature=5.0, temperature_decay=0.923)
  arch = {
    name: jnp.arange(14 * SPACE.num_ops, dtype=jnp.float32).reshape(14, -1) % 3
    for name in SPACE.cell_types
  }
  mask = np.asarray(SPACE.mask("normal"))
  for epoch in (0, 10):
    logits = np.asarray(arch["normal"]) / (5.0 * 0.923**epoch)
    expected = np.where(mask, np.exp(logits), 0)
    expected /= expected.sum(-1, keepdims=True)
    context = contexts.make(SPACE, epoch=epoch)
    found = darts.probs(settings, arch, context)["normal"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
  "fields",
  [
    {"init_scale": -1.0},
    {"temperature": 0.0},
    {"temperature_decay": float("nan")},
  ],
)
def test_settings_without_meaning_are_refused(fields):
  (name,) = fields
  with pytest.raises(ValueError, match=name):
    darts.Settings(**fields)
