"""SNAS as pure functions: samples, cost, and the cost's weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.methods import snas
from jnas.spaces import SPACES
from tests.methods import contexts

SPACE = SPACES["s3"]
CHEAP, DEAR = 0, 2  # columns of `none` and `sep_conv_3x3`


def logits(column, *, size=2.0):
  """Logits that prefer one operation on every edge."""
  row = size * jax.nn.one_hot(column, SPACE.num_ops)
  return {name: jnp.tile(row, (14, 1)) for name in SPACE.cell_types}


def test_temperature_falls_linearly_from_1_to_its_end():
  """(1 - e/150)(1 - 0.03) + 0.03 at e = 0, 75 and 150."""
  settings = snas.Settings()
  for epoch, expected in ((0, 1.0), (75, 0.515), (150, 0.03)):
    context = contexts.make(SPACE, epoch=epoch, num_epochs=150)
    np.testing.assert_allclose(
      snas.temperature(settings, context), expected, rtol=1e-5
    )


def test_one_sample_for_the_batch_or_one_for_each_image():
  context = contexts.make(SPACE)
  arch = logits(1)
  key = jax.random.key(0)
  shared = snas.mix(snas.Settings(), arch, key, context)
  each = snas.mix(snas.Settings(per_example=True), arch, key, context)
  assert shared["normal"].shape == (14, 3)
  assert each["normal"].shape == (context.batch_size, 14, 3)
  assert np.std(np.asarray(each["normal"]), axis=0).max() > 0.1
  np.testing.assert_allclose(each["normal"].sum(-1), 1, rtol=1e-5)


def cost_gradients(*, num_draws, **settings):
  """Gradients of the normal cell's logits, one for each draw."""
  made = snas.Settings(cost_weight=1.0, **settings)
  context = contexts.make(SPACE)

  def cost(arch, key):
    weights = snas.mix(made, arch, key, context)
    return snas.penalty(made, arch, key, context, weights)

  keys = jax.random.split(jax.random.key(1), num_draws)
  grads = jax.vmap(jax.grad(cost), (None, 0))(logits(1, size=0.0), keys)
  return np.asarray(grads["normal"])


@pytest.mark.parametrize("log_penalty", [True, False])
def test_the_cost_pushes_towards_cheap_operations(log_penalty):
  """On each edge the first operation is the cheapest, the last the dearest."""
  for estimator in ("analytic", "reparam"):
    found = cost_gradients(
      num_draws=400, estimator=estimator, log_penalty=log_penalty
    )
    mean = found.mean((0, 1))
    assert mean[DEAR] > mean[1] > mean[CHEAP]


@pytest.mark.parametrize("log_penalty", [True, False])
def test_policy_gradient_and_reparametrisation_estimate_the_same(log_penalty):
  """SPEC 4.2, D3c: 4 standard errors of each coordinate."""
  draws = 20_000
  wanted, found = (
    cost_gradients(
      num_draws=draws, estimator=estimator, log_penalty=log_penalty
    )
    for estimator in ("reparam", "policy_gradient")
  )
  variance = (wanted.var(0) + found.var(0)) / draws
  assert (np.abs(wanted.mean(0) - found.mean(0)) < 4 * variance**0.5).all()


def test_levels_weigh_the_cost_ever_more():
  context = contexts.make(SPACE)
  arch, key = logits(DEAR), jax.random.key(0)
  found = []
  for level in snas.LEVELS:
    settings = snas.Settings(level=level)
    weights = snas.mix(settings, arch, key, context)
    found.append(float(snas.penalty(settings, arch, key, context, weights)))
  assert found[0] == 0
  assert found == sorted(found) and len(set(found)) == 4
  np.testing.assert_allclose(found[2] / found[1], 4e-3 / 1.5e-3, rtol=1e-5)


def test_derived_sizes_are_the_base_and_what_is_chosen():
  """Tables of `contexts`: entry (e, k) costs 3 e + k, 1000 more in reduce."""
  context = contexts.make(SPACE)
  params, madds = snas.derived_sizes(logits(1), context)
  normal = sum(3 * edge + 1 for edge in range(14))
  expected = 100 + normal + normal + 14 * 1000
  assert float(params) == expected
  assert float(madds) == 1000 + 100 * (expected - 100)


def test_the_weight_follows_the_distance_to_the_target():
  """Too large: a cost; too small: a reward; on target: nothing."""
  context = contexts.make(SPACE, memory={"cost_weight": jnp.zeros(())})
  size = float(snas.derived_sizes(logits(1), context)[0])
  for factor, sign in ((0.9, 1), (1.0, 0), (1.1, -1)):
    settings = snas.Settings(target_params=size * factor)
    weight = snas.after_step(settings, logits(1), context)["cost_weight"]
    assert np.sign(float(weight)) == sign
    expected = settings.target_gain * (1 / factor - 1)
    np.testing.assert_allclose(weight, expected, atol=1e-6)


@pytest.mark.parametrize(
  "fields",
  [
    {"temperature": 0.0},
    {"cost_weight": -1.0},
    {"level": "mild", "cost_weight": 0.1},
    {"target_params": 1e6, "target_madds": 1e8},
  ],
)
def test_settings_without_meaning_are_refused(fields):
  with pytest.raises(ValueError, match=list(fields)[0]) as caught:
    snas.Settings(**fields)
  assert "\n" not in str(caught.value)
