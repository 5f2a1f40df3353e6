"""Optimisers against plain loops with the semantics of SPEC 3.0."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnas import config
from jnas.training import optim

STEPS_PER_EPOCH = 3


def gradients(step):
  random = np.random.default_rng(step)
  scale = 10.0 if step % 2 else 0.1  # clipped, and not
  return {
    "a": scale * random.normal(size=(2, 3)),
    "b": {"c": scale * random.normal(size=4)},
  }


def parameters():
  return {"a": np.ones((2, 3)), "b": {"c": np.full(4, -2.0)}}


def run(transform, num_steps):
  with jax.enable_x64(True):
    params = jax.tree.map(jnp.asarray, parameters())
    state = transform.init(params)
    for step in range(num_steps):
      grad = jax.tree.map(jnp.asarray, gradients(step))
      updates, state = transform.update(grad, state, params)
      params = optax.apply_updates(params, updates)
    return jax.tree.map(np.asarray, params)


@pytest.mark.parametrize(
  "settings",
  [
    config.SearchConfig(epochs=4, lr=0.1, lr_min=0.01, clip_norm=5.0),
    config.EvaluateConfig(epochs=4, lr=0.2, weight_decay=0.05, momentum=0.5),
  ],
)
def test_sgd_clips_then_decays_then_remembers(settings):
  """Norm clipped; weight decay added; v = m v + g; w -= lr v."""
  expected = [parameters()["a"], parameters()["b"]["c"]]
  velocity = [np.zeros((2, 3)), np.zeros(4)]
  for step in range(8):
    drawn = gradients(step)
    grad = [drawn["a"], drawn["b"]["c"]]
    norm = math.sqrt(sum((leaf**2).sum() for leaf in grad))
    grad = [leaf * min(1.0, settings.clip_norm / norm) for leaf in grad]
    epoch = step // STEPS_PER_EPOCH
    half = (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
    lr = settings.lr_min + (settings.lr - settings.lr_min) * half
    for index in range(2):
      decayed = grad[index] + settings.weight_decay * expected[index]
      velocity[index] = settings.momentum * velocity[index] + decayed
      expected[index] = expected[index] - lr * velocity[index]
  found = run(optim.weights(settings, steps_per_epoch=STEPS_PER_EPOCH), 8)
  np.testing.assert_allclose(found["a"], expected[0], rtol=1e-6)
  np.testing.assert_allclose(found["b"]["c"], expected[1], rtol=1e-6)


def test_adam_decays_before_the_moments():
  """g + wd w goes into the moments, as in PyTorch's Adam, not AdamW."""
  settings = config.SearchConfig(arch_lr=0.01, arch_weight_decay=0.1)
  expected = parameters()["a"]
  first, second = np.zeros((2, 3)), np.zeros((2, 3))
  for step in range(5):
    grad = gradients(step)["a"] + settings.arch_weight_decay * expected
    first = 0.5 * first + 0.5 * grad
    second = 0.999 * second + 0.001 * grad**2
    direction = (first / (1 - 0.5 ** (step + 1))) / (
      np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8
    )
    expected = expected - settings.arch_lr * direction
  found = run(optim.architecture(settings, steps_per_epoch=STEPS_PER_EPOCH), 5)
  np.testing.assert_allclose(found["a"], expected, rtol=1e-6)
