"""DARTS, Figure 2: two scalars on which first and second order part ways.

L_val(w, a) = a w - 2 a + 1 and L_train(w, a) = w^2 - 2 a w + a^2, so that
w*(a) = a and the bilevel optimum is (a, w) = (1, 1).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import bilevel


def loss_fn(w, a, batch):
  return {
    "train": w**2 - 2 * a * w + a**2,
    "val": a * w - 2 * a + 1,
  }[batch]


grad = functools.partial(
  bilevel.darts_grad, loss_fn, batch_train="train", batch_val="val", wd=0.0
)


def test_the_gradient_worked_by_hand():
  w, a = jnp.array(-2.0), jnp.array(2.0)
  # First order: w - 2. Second: w' = w - xi (2w - 2a) = -2 + 0.8 = -1.2 and
  # w' - 2 + 2 xi a = -3.2 + 0.4 = -2.8.
  assert grad(w, a) == -4.0
  for hvp in ("exact", "fd"):
    found = grad(w, a, order=2, xi=0.1, hvp=hvp)
    np.testing.assert_allclose(found, -2.8, rtol=1e-4)
  # Momentum 0.9 * 0.5 more: w' = -1.245.
  found = grad(w, a, order=2, xi=0.1, mu=0.9, momentum_buffer=jnp.array(0.5))
  np.testing.assert_allclose(found, -2.845, rtol=1e-6)


@pytest.mark.parametrize(("order", "expected"), [(1, 2.0), (2, 1.0)])
def test_only_second_order_finds_the_bilevel_optimum(order, expected):
  def step(point, _):
    w, a = point
    a = a - 0.05 * grad(w, a, order=order, xi=0.5)
    w = w - 0.5 * jax.grad(loss_fn)(w, a, "train")
    return (w, a), None

  start = (jnp.array(-2.0), jnp.array(2.0))
  (w, a), _ = jax.lax.scan(step, start, length=400)
  np.testing.assert_allclose([w, a], expected, rtol=1e-4)
