import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jnas.native import lowering, mixing
from tests.native import kernels

both_codes = kernels.both_codes(1e-5, 1e-12)
# Terms, targets, images, height, width, channels.
shapes = st.tuples(
  st.integers(1, 5),
  st.integers(1, 4),
  st.integers(1, 4),
  st.integers(1, 9),
  st.integers(1, 9),
  st.sampled_from([1, 3, 8, 13, 16, 40]),
)


def make(shape, dtype, *, per_image=False, adds=True, seed=0):
  """Weights, terms of which each second is shared, and what is added."""
  num_terms, num_targets, *image = shape
  random = np.random.default_rng(seed)

  def draw(*shape):
    return jnp.asarray(random.normal(size=shape), dtype)

  weights = draw(num_terms, num_targets, *image[:1] * per_image)
  terms = [
    draw(num_targets if n % 2 == 0 else 1, *image) for n in range(num_terms)
  ]
  added = [draw(*image) for _ in range(num_targets * adds)]
  return weights, terms, added


def define(weights, terms, added):
  """The definition, which JAX differentiates by itself."""
  weights = weights if weights.ndim == 3 else weights[:, :, None]
  factors = weights[..., None, None, None]
  return [
    sum(
      (factors[n, t] * y[min(t, len(y) - 1)] for n, y in enumerate(terms)),
      added[t] if added else 0,
    )
    for t in range(weights.shape[1])
  ]


def bend(function, *args):
  """A scalar with derivatives of every order."""
  return sum(jnp.sin(total).sum() for total in function(*args))


def assert_close(actual, expected, tolerance):
  for a, b in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
    scale = max(1.0, float(np.abs(b).max(initial=0)))
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


@kernels.needs_kernels
@hypothesis.given(shapes, st.booleans(), st.booleans())
@hypothesis.settings(max_examples=8, deadline=None, derandomize=True)
def test_kernels_follow_the_definition(shape, per_image, adds):
  args = make(shape, np.float32, per_image=per_image, adds=adds)
  wide = jax.tree.map(lambda x: np.asarray(x, np.float64), args)
  assert_close(lowering.mix(*args), define(*wide), 1e-5)
  actual = jax.grad(bend, (1, 2, 3))(lowering.mix, *args)
  assert_close(actual, jax.grad(bend, (1, 2, 3))(define, *args), 1e-4)


@both_codes
@pytest.mark.parametrize("per_image", [False, True])
def test_second_derivatives(dtype, tolerance, per_image, x64):
  args = make((3, 2, 3, 2, 3, 5), dtype, per_image=per_image)
  direction = make((3, 2, 3, 2, 3, 5), dtype, per_image=per_image, seed=1)

  def second(function):
    grad = jax.grad(functools.partial(bend, function), (0, 1, 2))
    forward = jax.jvp(grad, args, direction)[1]  # forwards over backwards
    backward = jax.grad(  # backwards over backwards
      lambda args: sum(jnp.sin(x).sum() for x in jax.tree.leaves(grad(*args)))
    )(args)
    return forward, backward

  assert_close(second(lowering.mix), second(define), 10 * tolerance)


@both_codes
@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("mapped", ["all", "weights", "terms"])
def test_vmap(dtype, tolerance, per_image, mapped, x64):
  def stack(*parts):
    return jnp.stack(parts)

  each = [
    make((3, 2, 4, 3, 2, 7), dtype, per_image=per_image, seed=seed)
    for seed in range(3)
  ]
  weights, terms, added = jax.tree.map(stack, *each)
  axes = [0, 0, 0]
  if mapped != "all":
    axes = [0 if mapped == "weights" else None, 0, 0]
    if mapped == "weights":
      axes, terms, added = [0, None, None], each[0][1], each[0][2]
    else:
      weights = each[0][0]

  def both(function, *args):
    return function(*args), jax.grad(
      functools.partial(bend, function), (0, 1, 2)
    )(*args)

  run = jax.vmap(functools.partial(both, lowering.mix), axes)
  expected = jax.vmap(functools.partial(both, define), axes)
  assert_close(
    run(weights, terms, added), expected(weights, terms, added), 10 * tolerance
  )


@kernels.needs_kernels
def test_sums_of_bfloat16_are_float32():
  # 1 + 256 * 2^-9 = 1.5: added one by one in bfloat16, it would stay 1.
  terms = [
    jnp.full((1, 1, 1, 1, 1), value, jnp.bfloat16)
    for value in [1.0] + [2.0**-9] * 256
  ]
  (total,) = lowering.mix(jnp.ones((257, 1)), terms)
  assert total.dtype == jnp.bfloat16
  assert float(total[0, 0, 0, 0]) == 1.5


def test_weights_of_groups_of_images():
  weights = jnp.array([[[2.0, 3.0]]])  # one term, one target, two groups
  term = jnp.arange(1.0, 5.0).reshape(1, 4, 1, 1, 1)
  (total,) = mixing.mix(weights, [term])
  np.testing.assert_array_equal(total.ravel(), [2, 4, 9, 12])


@both_codes
def test_no_images(dtype, tolerance, x64):
  args = make((2, 2, 0, 3, 3, 4), dtype)
  assert [total.shape for total in lowering.mix(*args)] == [(0, 3, 3, 4)] * 2
  grad = jax.grad(bend, 1)(lowering.mix, *args)
  np.testing.assert_array_equal(grad, np.zeros((2, 2)))


@kernels.needs_kernels
def test_each_pass_is_one_instruction():
  weights, terms, added = make((4, 3, 2, 4, 4, 16), np.float32)

  def run(weights, terms, added, g):
    totals, pull_back = jax.vjp(lowering.mix, weights, terms, added)
    return totals, pull_back(g)

  program = jax.jit(run).lower(weights, terms, added, added).compile()
  calls = [
    line for line in program.as_text().splitlines() if "custom-call(" in line
  ]
  assert len(calls) == 3


@pytest.mark.parametrize(
  "change,words",
  [
    (lambda w, y, a: (w[:1], y, a), "2 terms"),
    (lambda w, y, a: (w, y, a[:1]), "1 totals"),
  ],
)
def test_wrong_arguments_are_named(change, words):
  args = make((2, 2, 1, 2, 2, 3), np.float32)
  with pytest.raises(ValueError, match=words):
    lowering.mix(*change(*args))
