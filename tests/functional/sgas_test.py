"""SPEC 4.6, H8 and H9: the criteria and the decisions of SGAS."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import sgas

TARGETS = jnp.asarray(np.repeat([2, 3, 4, 5], [2, 3, 4, 5]))
REAL = jnp.ones((14, 8), bool).at[:, 0].set(False)  # none comes first


@pytest.fixture
def oracle(shared):
  return np.load(shared / "oracles" / "sgas_criterion.npz")


def make_history(oracle, length):
  history = sgas.History(jnp.zeros((length, 14, 8)), jnp.zeros((), jnp.int32))
  for alpha in oracle["alpha_history"]:
    probs = jax.nn.softmax(jnp.array(alpha), axis=-1)
    history = sgas.record(history, sgas.op_probs(probs, REAL))
  return history


def test_measures_scores_and_choices_are_the_oracles(oracle, x64):
  probs = jax.nn.softmax(jnp.array(oracle["alpha"]), axis=-1)
  history = make_history(oracle, length=4)
  given_use = sgas.op_probs(probs, REAL)
  for found, name in (
    (sgas.importance(probs, REAL), "importance"),
    (sgas.certainty(given_use, REAL), "certainty"),
    (sgas.stability(given_use, history), "stability"),
  ):
    np.testing.assert_allclose(found, oracle[name], rtol=0, atol=1e-10)
  decisions = sgas.init_decisions(14)._replace(
    decided_e=~jnp.array(oracle["candidate_flags"])
  )
  for criterion in (1, 2):
    score = sgas.scores(probs, REAL, history, criterion=criterion)
    expected = oracle[f"score{criterion}"]
    np.testing.assert_allclose(score, expected, rtol=0, atol=1e-10)
    edge = sgas.choose_edge(score, decisions)
    assert edge == oracle[f"pick{criterion}"]
    op = sgas.best_op(probs, REAL, edge)
    assert op == oracle[f"pick{criterion}_op"]


def test_only_the_last_records_count(oracle):
  probs = jax.nn.softmax(jnp.array(oracle["alpha"], jnp.float32), axis=-1)
  given_use = sgas.op_probs(probs, REAL)
  short = make_history(oracle, length=2)
  last_two = [
    np.minimum(
      sgas.op_probs(jax.nn.softmax(jnp.array(alpha), axis=-1), REAL), given_use
    ).sum(-1)
    for alpha in oracle["alpha_history"][1:]
  ]
  found = sgas.stability(given_use, short)
  np.testing.assert_allclose(found, np.mean(last_two, axis=0), rtol=1e-5)


def test_stability_is_0_without_records_and_1_without_change():
  history = sgas.init_history(length=4, num_edges=3, num_ops=2)
  probs = jnp.array([[0.3, 0.7], [1.0, 0.0], [0.5, 0.5]])
  assert jnp.all(sgas.stability(probs, history) == 0)
  for _ in range(6):
    history = sgas.record(history, probs)
  np.testing.assert_allclose(sgas.stability(probs, history), 1, rtol=1e-6)


def test_measures_by_hand_and_on_ragged_lists():
  real = jnp.array([[False, True, True], [False, True, False], [False] * 3])
  probs = jnp.array([[0.5, 0.25, 0.25], [0.9, 0.1, 0.0], [1.0, 0.0, 0.0]])
  np.testing.assert_allclose(sgas.importance(probs, real), [0.5, 0.1, 0])
  given_use = sgas.op_probs(probs, real)
  np.testing.assert_allclose(
    given_use, [[0, 0.5, 0.5], [0, 1, 0], [0, 0, 0]], rtol=1e-6
  )
  certainty = sgas.certainty(given_use, real)
  np.testing.assert_allclose(certainty, [0, 1, 1], atol=1e-6)
  assert jnp.all(sgas.normalize(jnp.full(3, 0.3)) == 0)


@pytest.mark.parametrize("criterion", [1, 2])
def test_eight_decisions_leave_two_edges_for_each_node(criterion):
  def decide_once(carry, key):
    decisions, history = carry
    probs = jax.nn.softmax(jax.random.normal(key, (14, 8)), axis=-1)
    score = sgas.scores(probs, REAL, history, criterion=criterion)
    history = sgas.record(history, sgas.op_probs(probs, REAL))
    edge = sgas.choose_edge(score, decisions)
    decisions = sgas.decide(
      decisions,
      edge,
      sgas.best_op(probs, REAL, edge),
      TARGETS,
      edges_per_node=2,
    )
    return (decisions, history), (edge, decisions)

  history = sgas.init_history(length=4, num_edges=14, num_ops=8)
  keys = jax.random.split(jax.random.key(0), 9)
  _, (edges, path) = jax.jit(
    lambda start: jax.lax.scan(decide_once, start, keys)
  )((sgas.init_decisions(14), history))
  # Eight different edges, then none is left.
  assert len(set(edges.tolist()[:8])) == 8 and edges[8] == -1
  decided, op, pruned = (np.asarray(field) for field in path)
  targets = np.asarray(TARGETS)
  for step in range(9):
    for node in (2, 3, 4, 5):
      into = targets == node
      full = decided[step, into].sum() == 2
      assert decided[step, into].sum() <= 2
      assert np.array_equal(pruned[step, into], ~decided[step, into] & full)
  assert decided[-1].sum() == 8 and pruned[-1].sum() == 6
  np.testing.assert_array_equal(decided[8], decided[7])
  assert np.all((op[-1] > 0) == decided[-1])  # none is never chosen


def test_measures_under_vmap_are_the_loop_and_gradients_are_finite():
  logits = jax.random.normal(jax.random.key(1), (5, 14, 8))
  logits = logits.at[0].set(0).at[1, :, 3].set(1e4)
  history = sgas.init_history(length=4, num_edges=14, num_ops=8)

  def total(logits):
    probs = jax.nn.softmax(logits, axis=-1)
    return jnp.sum(sgas.scores(probs, REAL, history, criterion=1))

  values, grads = jax.jit(jax.vmap(jax.value_and_grad(total)))(logits)
  assert jnp.all(jnp.isfinite(grads))
  for row in range(5):
    np.testing.assert_allclose(values[row], total(logits[row]), rtol=1e-5)


def test_an_unknown_criterion_is_refused():
  history = sgas.init_history(length=4, num_edges=2, num_ops=2)
  with pytest.raises(ValueError, match="criterion 3: must be 1 or 2"):
    sgas.scores(jnp.ones((2, 2)), jnp.ones((2, 2), bool), history, criterion=3)
