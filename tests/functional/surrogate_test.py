"""SPEC 4.3, E15: the ridge fit of a linear latency model."""

import jax
import jax.numpy as jnp
import numpy as np

from jnas.functional import surrogate


def load(shared):
  with np.load(shared / "oracles" / "surrogate_ridge.npz") as file:
    return dict(file)


def test_fit_and_error_equal_the_oracle(shared, x64):
  oracle = load(shared)
  x, y = jnp.asarray(oracle["X"]), jnp.asarray(oracle["y"])
  model = surrogate.fit(x, y, ridge=float(oracle["ridge"]))
  np.testing.assert_allclose(model.coefficients, oracle["w"], atol=1e-8)
  np.testing.assert_allclose(model.bias, oracle["b"], atol=1e-8)
  error = jnp.mean(jnp.abs(surrogate.predict(model, x) - y))
  np.testing.assert_allclose(error, oracle["train_mae"], rtol=1e-8)


def test_single_precision_predicts_as_double_does(shared):
  oracle = load(shared)
  x = jnp.asarray(oracle["X"], jnp.float32)
  model = surrogate.fit(x, jnp.asarray(oracle["y"], jnp.float32), ridge=1.0)
  expected = oracle["X"] @ oracle["w"] + oracle["b"]
  np.testing.assert_allclose(
    surrogate.predict(model, x), expected, rtol=0, atol=1e-3
  )


def test_a_tree_of_choices_fits_as_its_columns_do(shared, x64):
  oracle = load(shared)
  y = jnp.asarray(oracle["y"])
  # The first 15 layers have 7 choices each, the last 6 have 6.
  tree = {
    "normal": jnp.asarray(oracle["X"][:, :105]).reshape(-1, 15, 7),
    "reduce": jnp.asarray(oracle["X"][:, 105:]).reshape(-1, 6, 6),
  }
  model = surrogate.fit(tree, y, ridge=1.0)
  found = [
    leaf.reshape(-1)
    for leaf in (model.coefficients["normal"], model.coefficients["reduce"])
  ]
  np.testing.assert_allclose(np.concatenate(found), oracle["w"], atol=1e-8)
  one = jax.tree.map(lambda leaf: leaf[7], tree)
  np.testing.assert_allclose(
    surrogate.predict(model, one),
    surrogate.predict(model, tree)[7],
    rtol=1e-12,
  )
  # Linear: its slope is the coefficients, at a relaxed point as well.
  half = jax.tree.map(lambda leaf: leaf / 2, one)
  slope = jax.grad(lambda weights: surrogate.predict(model, weights))(half)
  np.testing.assert_allclose(
    slope["normal"], model.coefficients["normal"], rtol=1e-12
  )
