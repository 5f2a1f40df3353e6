"""SPEC 4.4, F1 to F4: DARTS's second-order gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import bilevel


@pytest.fixture
def oracle(shared):
  return np.load(shared / "oracles" / "darts_second_order.npz")


def make_loss(oracle):
  """One loss for both problems; the batch says which."""
  m, b, c, d = (jnp.array(oracle[name]) for name in ("M", "B", "c", "D"))

  def train_loss(w, a):
    probs = jax.nn.softmax(a)
    inner = jnp.tanh(m @ w) * jnp.sum(probs) + jnp.sin((b @ probs) * w)
    return jnp.sum(inner**2) + c @ w

  def val_loss(w, a):
    penalty = 0.3 * jnp.sum(w**2) * jax.nn.sigmoid(a[0])
    return jnp.sum(jnp.cos(w + d @ a)) + penalty

  def loss_fn(w, a, batch):
    return {"train": train_loss, "val": val_loss}[batch](w, a)

  return loss_fn


def make_step(oracle, tag):
  momentum = oracle["momentum_buffer"] if "momentum" in tag else np.zeros(5)
  return {
    "xi": float(oracle["xi"]),
    "momentum_buffer": jnp.array(momentum),
    "mu": float(oracle["momentum"]),
    "wd": float(oracle["weight_decay"]) if "wd1" in tag else 0.0,
  }


@pytest.mark.parametrize(
  "tag", ["plain_wd0", "plain_wd1", "momentum_wd0", "momentum_wd1"]
)
def test_every_part_of_the_gradient_is_the_oracles(oracle, x64, tag):
  loss_fn = make_loss(oracle)
  w, a = jnp.array(oracle["w"]), jnp.array(oracle["alpha"])
  step = make_step(oracle, tag)
  stepped = bilevel.unroll(loss_fn, w, a, "train", **step)
  np.testing.assert_allclose(
    stepped, oracle[f"{tag}_w_unrolled"], rtol=0, atol=1e-8
  )
  v = jnp.array(oracle[f"{tag}_v"])
  exact = bilevel.mixed_product(loss_fn, w, a, "train", v)
  np.testing.assert_allclose(
    exact, oracle[f"{tag}_hvp_exact"], rtol=0, atol=1e-8
  )
  difference = bilevel.finite_difference_product(loss_fn, w, a, "train", v)
  np.testing.assert_allclose(
    difference, oracle[f"{tag}_hvp_fd"], rtol=0, atol=1e-6
  )
  for hvp, tolerance in (("exact", 1e-8), ("fd", 1e-6)):
    found = bilevel.darts_grad(
      loss_fn, w, a, "train", "val", order=2, hvp=hvp, **step
    )
    expected = oracle[f"{tag}_grad_{hvp}"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_the_exact_gradient_is_autodiff_through_the_step(oracle, x64):
  loss_fn = make_loss(oracle)
  w, a = jnp.array(oracle["w"]), jnp.array(oracle["alpha"])
  step = make_step(oracle, "momentum_wd1")

  def unrolled_loss(a):
    stepped = bilevel.unroll(loss_fn, w, a, "train", **step)
    return loss_fn(stepped, a, "val")

  value, grad = bilevel.darts_value_and_grad(
    loss_fn, w, a, "train", "val", order=2, **step
  )
  expected_value, expected = jax.value_and_grad(unrolled_loss)(a)
  np.testing.assert_allclose(value, expected_value, rtol=1e-12)
  np.testing.assert_allclose(grad, expected, rtol=0, atol=1e-10)


def test_the_finite_difference_converges_with_the_square_of_its_radius(
  oracle, x64
):
  loss_fn = make_loss(oracle)
  w, a = jnp.array(oracle["w"]), jnp.array(oracle["alpha"])
  v = jnp.array(oracle["plain_wd0_v"])
  exact = bilevel.mixed_product(loss_fn, w, a, "train", v)
  errors = []
  for radius in (0.04, 0.02, 0.01, 0.005):
    product = bilevel.finite_difference_product(
      loss_fn, w, a, "train", v, radius=radius
    )
    errors.append(float(jnp.max(jnp.abs(product - exact))))
  # The total differs by xi times that; the SPEC's figures are the product's.
  np.testing.assert_allclose(
    errors, [6.83e-4, 1.71e-4, 4.27e-5, 1.07e-5], rtol=5e-3
  )


def test_a_step_of_size_0_and_order_1_are_the_first_order_gradient(oracle, x64):
  loss_fn = make_loss(oracle)
  w, a = jnp.array(oracle["w"]), jnp.array(oracle["alpha"])
  grad = functools.partial(bilevel.darts_grad, loss_fn, w, a, "train", "val")
  for found in (grad(), grad(order=2, xi=0.0), grad(order=2, hvp="fd")):
    np.testing.assert_allclose(found, oracle["grad_first_order"], atol=1e-12)


def quadratic(w, a, batch):
  """Pytrees on both sides; the mixed product can be worked by hand."""
  return jnp.sum(w["x"] * a["normal"]) * batch + jnp.sum(w["y"] ** 2)


@pytest.mark.parametrize("hvp", ["exact", "fd"])
def test_trees_by_hand_under_jit_and_vmap(hvp):
  w = {"x": jnp.array([1.0, -2.0]), "y": jnp.array(3.0)}
  a = {"normal": jnp.array([0.5, 0.25])}

  def grad(a, xi):
    return bilevel.darts_grad(
      quadratic, w, a, 2.0, 3.0, order=2, xi=xi, mu=0.9, wd=0.0, hvp=hvp
    )

  # w' = w - xi 2a, v = 3a, product 2v: 3(w - xi 2a) - xi 6a = 3w - 12 xi a
  found = jax.jit(grad)(a, 0.1)["normal"]
  np.testing.assert_allclose(found, [2.4, -6.3], rtol=1e-3)
  rates = jnp.array([0.0, 0.1])
  mapped = jax.vmap(grad, (None, 0))(a, rates)["normal"]
  np.testing.assert_allclose(mapped, [[3.0, -6.0], [2.4, -6.3]], rtol=1e-3)


def test_a_vector_of_zeros_gives_a_product_of_zeros():
  w = {"x": jnp.array([1.0, -2.0]), "y": jnp.array(3.0)}
  a = {"normal": jnp.array([0.5, 0.25])}
  zeros = jax.tree.map(jnp.zeros_like, w)
  product = bilevel.finite_difference_product(quadratic, w, a, 2.0, zeros)
  np.testing.assert_array_equal(product["normal"], [0, 0])


@pytest.mark.parametrize("options", [{"order": 3}, {"hvp": "approximate"}])
def test_unknown_forms_are_refused(options):
  with pytest.raises(ValueError, match="must be 1 or 2, hvp one of exact, fd"):
    bilevel.darts_grad(quadratic, {}, {}, 2.0, 3.0, **options)
