"""SPEC 4.7, I1 and G9: the rules of derivation."""

import json

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from jnas.functional import derive, numerics, sparsify
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


@pytest.fixture
def oracle(shared):
  path = shared / "oracles" / "genotype_derivation.json"
  return json.loads(path.read_text())


SOURCES = np.array([i for j in (2, 3, 4, 5) for i in range(j)])
TARGETS = np.repeat([2, 3, 4, 5], [2, 3, 4, 5])


def pairs_of_nodes(kept_ek, names):
  """Operation and source of the kept connections of each node, by edge."""
  return [
    [
      [names[op], int(SOURCES[edge])]
      for edge in np.flatnonzero(TARGETS == node)
      for op in np.flatnonzero(kept_ek[edge])
    ]
    for node in (2, 3, 4, 5)
  ]


@pytest.mark.parametrize(
  ("same_edge", "name"),
  [
    (False, "entrannas_top2_distinct_inputs"),
    (True, "entrannas_top2_any"),
  ],
)
def test_top_2_connections_are_the_oracles(oracle, same_edge, name):
  names, checked = oracle["primitives"][1:], 0

  @jax.jit
  def rule(weights):
    return derive.top_connections(
      weights,
      jnp.ones(weights.shape, bool),
      jnp.asarray(TARGETS),
      num_connections=2,
      allow_same_edge=same_edge,
    )

  for case in oracle["cases"]:
    if name in case:
      weights = jax.nn.softmax(jnp.array(case["alpha7"]) / case["tau"], axis=-1)
      found = pairs_of_nodes(np.asarray(rule(weights)), names)
      # The oracle lists the pairs of each node by strength.
      expected = [sorted(case[name][2 * n : 2 * n + 2]) for n in range(4)]
      assert [sorted(node) for node in found] == expected
      checked += 1
  assert checked == 4


def test_the_literal_top_2_may_take_both_from_one_edge():
  weights = jnp.array([[0.5, 0.4, 0.1], [0.35, 0.35, 0.3], [0.2, 0.7, 0.1]])
  allowed = jnp.ones((3, 3), bool)
  target = jnp.array([2, 2, 3])
  literal, distinct = (
    derive.top_connections(
      weights, allowed, target, num_connections=2, allow_same_edge=same
    )
    for same in (True, False)
  )
  np.testing.assert_array_equal(literal, [[1, 1, 0], [0, 0, 0], [1, 1, 0]])
  np.testing.assert_array_equal(distinct, [[1, 0, 0], [1, 0, 0], [0, 1, 0]])
  # What may not be chosen is not, even where too little is left.
  literal = derive.top_connections(
    weights,
    allowed.at[2, 1:].set(False).at[0, 0].set(False),
    target,
    num_connections=2,
    allow_same_edge=True,
  )
  np.testing.assert_array_equal(literal, [[0, 1, 0], [1, 0, 0], [1, 0, 0]])


def test_the_argmax_of_every_edge_is_the_oracles(oracle):
  checked = 0
  for case in oracle["cases"]:
    if "snas_all_edges" in case:
      alpha = jnp.array(case["alpha"])
      kept = jax.jit(derive.argmax_connections)(
        alpha, jnp.ones(alpha.shape, bool)
      )
      found = pairs_of_nodes(np.asarray(kept), oracle["primitives"])
      assert found == case["snas_all_edges"]
      checked += 1
  assert checked == 5


def test_the_argmax_stays_within_ragged_lists():
  weights = jnp.array([[0.2, 0.5, 0.9], [0.0, 0.0, 0.0], [3.0, 3.0, 3.0]])
  mask = jnp.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]], bool)
  found = derive.argmax_connections(weights, mask)
  np.testing.assert_array_equal(found, [[0, 1, 0], [0, 0, 0], [0, 1, 0]])


def test_active_connections_of_dst_are_the_oracles(oracle):
  checked = 0
  for case in oracle["cases"]:
    if "dst" in case:
      weights, _ = sparsify.dst_weights(
        jnp.array(case["alpha7"]),
        jnp.array(case["beta"]),
        case["tau"],
        jnp.asarray(TARGETS - 2),
      )
      kept = np.asarray(derive.active_connections(weights))
      found = pairs_of_nodes(kept, oracle["primitives"][1:])
      assert found == case["dst"]
      checked += 1
  assert checked == 4


def test_a_rule_under_vmap_is_the_loop():
  weights = jax.random.uniform(jax.random.key(0), (6, 14, 5))

  def rule(weights):
    return derive.top_connections(
      weights,
      jnp.ones(weights.shape, bool),
      jnp.asarray(TARGETS),
      num_connections=2,
      allow_same_edge=False,
    )

  mapped = jax.jit(jax.vmap(rule))(weights)
  for row in range(6):
    np.testing.assert_array_equal(mapped[row], rule(weights[row]))
  assert jnp.all(mapped.sum((1, 2)) == 8)


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


def test_log_softmax_and_logsumexp_keep_to_the_mask_without_nan():
  logits = jnp.array([[1.0, -jnp.inf, 3.0], [-jnp.inf] * 3])
  mask = jnp.array([[True, False, True], [False, False, False]])
  # log(exp(1) + exp(3)) = 3.126928
  total = numerics.masked_logsumexp(logits, mask)
  np.testing.assert_allclose(total, [3.126928, 0], rtol=1e-6)
  logs = numerics.masked_log_softmax(logits, mask)
  np.testing.assert_allclose(logs[0, ::2], [-2.126928, -0.126928], rtol=1e-5)
  assert jnp.all(logs[~mask] == -jnp.inf)

  def picked(logits):
    logs = numerics.masked_log_softmax(logits, mask)
    return jnp.sum(jnp.where(mask, logs, 0)[:, 0])

  # 1 - p_0 and -p_2
  grad = jax.grad(picked)(logits)
  np.testing.assert_allclose(grad[0], [0.8807971, 0, -0.8807971], rtol=1e-5)
  assert jnp.all(grad[1] == 0)


def test_normalised_rows_and_their_gradient_are_exact_where_one_is_left():
  values = jnp.array([[0.0, 0.3, 0.0], [0.0, 0.0, 0.0], [0.1, 0.3, 0.0]])
  scale = jnp.array([[0.7, 0.1, 0.3]] * 3)

  def loss(values):
    shares = numerics.normalize_rows(values)
    return jnp.sum(scale * shares), shares

  grad, shares = jax.jit(jax.grad(loss, has_aux=True))(values)
  np.testing.assert_array_equal(shares[:2], [[0, 1, 0], [0, 0, 0]])
  assert grad[0, 1] == 0 and jnp.all(grad[1] == 0)
  # (G - <G, share>) / sum with <G, share> = 0.25
  np.testing.assert_allclose(grad[2], [1.125, -0.375, 0.125], rtol=1e-5)
