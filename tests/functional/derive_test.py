"""SPEC 4.7, I1: the DARTS rule of derivation."""

import json

import jax
import jax.numpy as jnp
import numpy as np

from jnas.functional import numerics
from jnas.selection import magnitude
from jnas.spaces import SPACES


def test_darts_rule_gives_the_oracle_genotypes(shared):
  path = shared / "oracles" / "genotype_derivation.json"
  cases = json.loads(path.read_text())["cases"]
  for case in cases:
    weights = jax.nn.softmax(jnp.array(case["alpha"]), axis=-1)
    cell = magnitude.derive(
      {"normal": weights, "reduce": weights}, SPACES["darts"]
    ).normal
    pairs = [list(pair) for node in cell.nodes for pair in node]
    assert pairs == case["darts"]


def test_masked_softmax_is_zero_and_passes_no_nan_where_nothing_is_allowed():
  logits = jnp.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
  mask = jnp.array([[True, False, True], [False, False, False]])
  weights = numerics.masked_softmax(logits, mask)
  # exp(1) / (exp(1) + exp(3)) = 0.11920
  np.testing.assert_allclose(weights[0], [0.1192029, 0, 0.8807971], rtol=1e-5)
  assert jnp.all(weights[1] == 0)
  grad = jax.grad(lambda x: numerics.masked_softmax(x, mask)[0, 0])(logits)
  assert jnp.all(jnp.isfinite(grad))
