"""SPEC 4.7, I1: the DARTS rule of derivation."""

import json

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from jnas.functional import derive, numerics
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


# Few values, so that there are ties; -inf where nothing may be chosen.
STRENGTHS = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 0.75])
few = hypothesis.settings(max_examples=40, deadline=None, derandomize=True)


@hypothesis.given(
  st_numpy.arrays(np.float32, (9,), elements=STRENGTHS), st.integers(1, 3)
)
@few
def test_the_strongest_edges_of_each_node_are_kept_by_rank(strength, num_edges):
  targets = np.array([2, 2, 3, 3, 3, 4, 4, 4, 4])
  expected = np.full(9, -1)
  for target in (2, 3, 4):
    into = [e for e in np.flatnonzero(targets == target) if strength[e] > -9]
    # Python's sort is stable: of equal edges the first one comes first.
    into.sort(key=lambda edge: -strength[edge])
    for rank, edge in enumerate(into[:num_edges]):
      expected[edge] = rank
  ranks = derive.strongest_edges(
    jnp.asarray(strength), jnp.asarray(targets), num_edges=num_edges
  )
  np.testing.assert_array_equal(ranks, expected)


@hypothesis.given(
  st_numpy.arrays(np.float32, (4, 3), elements=st.sampled_from([0, 0.25, 1])),
  st_numpy.arrays(bool, (4, 3)),
)
@few
def test_the_strongest_allowed_operation_of_each_edge_is_taken(
  weights, allowed
):
  op_e, strength_e = derive.strongest_ops(
    jnp.asarray(weights), jnp.asarray(allowed)
  )
  for edge in range(4):
    ops = [k for k in range(3) if allowed[edge, k]]
    if not ops:
      assert strength_e[edge] == -np.inf
      continue
    best = max(ops, key=lambda k: (weights[edge, k], -k))
    assert op_e[edge] == best
    assert strength_e[edge] == weights[edge, best]


def test_masked_softmax_is_zero_and_passes_no_nan_where_nothing_is_allowed():
  logits = jnp.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
  mask = jnp.array([[True, False, True], [False, False, False]])
  weights = numerics.masked_softmax(logits, mask)
  # exp(1) / (exp(1) + exp(3)) = 0.11920
  np.testing.assert_allclose(weights[0], [0.1192029, 0, 0.8807971], rtol=1e-5)
  assert jnp.all(weights[1] == 0)
  grad = jax.grad(lambda x: numerics.masked_softmax(x, mask)[0, 0])(logits)
  assert jnp.all(jnp.isfinite(grad))
