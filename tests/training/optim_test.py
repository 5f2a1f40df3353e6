"""Optimisers against plain loops with the semantics of SPEC 3.0."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnas import config
from jnas.training import optim
from tests.native import kernels

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
      if isinstance(transform, optim.Optimizer):
        params, state = transform.step(grad, state, params)
      else:
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


@pytest.mark.parametrize(
  ("schedule", "expected"),
  [
    # 0.1 * 1024 / 128 = 0.8 at epoch 0, a line to 0 at epoch 10: 0.8, 0.72,
    # 0.64, 0.56, 0.48, 0.4 of which 1/4, 2/4, 3/4, 4/4 and all.
    ("linear", [0.2, 0.36, 0.48, 0.56, 0.48, 0.4]),
    # Halved at every epoch: 0.8, 0.4, 0.2, 0.1, 0.05, 0.025.
    ("exponential", [0.2, 0.2, 0.15, 0.1, 0.05, 0.025]),
    # 0.4 (1 + cos(pi e / 10)).
    ("cosine", [0.2, 0.390211, 0.542705, 0.635114, 0.523607, 0.4]),
  ],
)
def test_the_rate_is_scaled_with_the_batch_and_warmed_up(schedule, expected):
  settings = config.EvaluateConfig(
    epochs=10,
    batch_size=1024,
    lr=0.1,
    lr_batch=128,
    lr_warmup=4,
    lr_decay=0.5,
    schedule=schedule,
  )
  found = [float(optim.weights_lr(settings, epoch)) for epoch in range(6)]
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_both_ends_of_a_schedule_are_scaled():
  settings = config.SearchConfig(
    epochs=2, batch_size=32, lr=0.4, lr_min=0.2, lr_batch=64, schedule="linear"
  )
  # Half of 0.4, 0.3 and 0.2; and of the virtual step of second-order DARTS.
  found = [float(optim.weights_lr(settings, epoch)) for epoch in range(3)]
  np.testing.assert_allclose(found, [0.2, 0.15, 0.1], rtol=1e-6)
  xi = optim.unroll(settings, steps_per_epoch=5).learning_rate(jnp.asarray(7))
  np.testing.assert_allclose(xi, 0.15, rtol=1e-6)


def test_the_optimiser_takes_the_warmed_up_rate():
  settings = config.EvaluateConfig(
    epochs=4,
    lr=0.4,
    lr_warmup=2,
    schedule="linear",
    momentum=0.0,
    weight_decay=0.0,
    clip_norm=1e9,
  )
  optimizer = optim.weights(settings, steps_per_epoch=2)
  params, rates = jnp.zeros(3), []
  state = optimizer.init(params)
  for _ in range(6):
    moved, state = optimizer.step(jnp.ones(3), state, params)
    rates.append(float(params[0] - moved[0]))
    params = moved
  # Epochs 0, 1, 2: 0.4 / 2, 0.3, 0.2, two steps each.
  np.testing.assert_allclose(rates, [0.2, 0.2, 0.3, 0.3, 0.2, 0.2], rtol=1e-6)


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


def test_the_momentum_has_the_shapes_of_the_parameters():
  optimizer = optim.weights(
    config.SearchConfig(weight_decay=0.0, clip_norm=1e9), steps_per_epoch=2
  )
  params = jax.tree.map(jnp.float32, parameters())
  grad = jax.tree.map(jnp.float32, gradients(0))
  _, state = optimizer.step(grad, optimizer.init(params), params)
  found = optim.momentum_of(state, params)
  jax.tree.map(np.testing.assert_array_equal, found, grad)


@pytest.mark.parametrize(
  "grad",
  [
    {"a": np.ones((3, 2)), "b": {"c": np.ones(4)}},
    {"a": np.ones((2, 3)), "b": {"c": np.ones(1)}},
    {"x": np.ones((2, 3)), "y": np.ones(4)},
  ],
  ids=["shape", "size", "names"],
)
def test_gradients_of_other_parameters_are_refused(grad):
  optimizer = optim.weights(config.SearchConfig(), steps_per_epoch=2)
  params = jax.tree.map(jnp.float32, parameters())
  with pytest.raises(AssertionError):
    optimizer.step(grad, optimizer.init(params), params)


@kernels.needs_kernels
def test_all_leaves_move_in_one_call():
  optimizer = optim.weights(config.SearchConfig(), steps_per_epoch=2)
  params = {str(i): jnp.ones((i + 1, 2)) for i in range(20)}
  state = optimizer.init(params)
  step = jax.jit(optimizer.step, donate_argnums=(1, 2))
  for function in (step, jax.vmap(step, (0, None, 0))):
    shapes = params
    if function is not step:
      shapes = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), params)
    compiled = jax.jit(function).lower(shapes, state, shapes).compile()
    text = compiled.as_text() or ""
    assert (text.count("jnas_assemble"), text.count("jnas_cut")) == (2, 1)
