"""SPEC 4.6, H4 and H5: decisions of PT and when they fall."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import projection


@pytest.fixture
def oracle(shared):
  return json.loads((shared / "oracles" / "pt_decisions.json").read_text())


def test_operations_are_the_oracles(oracle):
  for case in oracle["operation"]:
    scores = [np.nan if s is None else s for s in case["acc_without_op"]]
    mask = jnp.array([s is not None for s in case["acc_without_op"]])
    found = jax.jit(projection.pt_select_op)(jnp.array(scores), mask)
    assert found == case["pick"]
  for case in oracle["operation_loss"]:
    scores = jnp.array(case["loss_without_op"])
    found = projection.pt_select_op(scores, jnp.ones(3, bool), criterion="loss")
    assert found == case["pick"]


def make_score_fn(topology):
  """Scores by removed edges, and the trials that were asked for."""
  edges, asked = topology["edges"], []

  def score_fn(removed):
    names = ",".join(sorted(edges[edge] for edge in removed))
    asked.append(names)
    return topology["acc_without"][names]

  return score_fn, asked


@pytest.mark.parametrize(
  ("rule", "expected", "trials"),
  [
    ("one_shot", "paper_one_shot_keep", ["A", "B", "C", "D"]),
    (
      "iterative",
      "code_iterative_keep",
      ["A", "B", "C", "D", "A,B", "A,C", "A,D"],
    ),
  ],
)
def test_edges_are_the_oracles(oracle, rule, expected, trials):
  topology = oracle["topology"]
  score_fn, asked = make_score_fn(topology)
  kept = projection.pt_select_edges(score_fn, rule, num_candidates=4)
  assert [topology["edges"][edge] for edge in kept] == topology[expected]
  assert asked == trials


def test_one_shot_takes_an_array_and_both_rules_take_losses(oracle):
  topology = oracle["topology"]
  scores = jnp.array([topology["acc_without"][edge] for edge in "ABCD"])
  select = functools.partial(projection.pt_select_edges, num_candidates=4)
  assert select(scores, "one_shot") == (2, 3)
  assert select(-scores, "one_shot", criterion="loss") == (2, 3)
  score_fn, _ = make_score_fn(topology)
  kept = select(
    lambda removed: -score_fn(removed), "iterative", criterion="loss"
  )
  assert kept == (1, 2)


def test_ties_of_edges():
  # One shot keeps the first two; elimination drops the last one each time.
  select = functools.partial(projection.pt_select_edges, num_candidates=4)
  assert select(jnp.full(4, 0.5), "one_shot") == (0, 1)
  assert select(lambda removed: 0.5, "iterative") == (0, 1)


def test_a_node_with_few_edges_keeps_them_all():
  select = functools.partial(projection.pt_select_edges, num_candidates=2)
  assert select(jnp.array([0.5, 0.1]), "one_shot") == (0, 1)
  assert select(lambda removed: 1 / 0, "iterative") == (0, 1)


def test_what_makes_no_sense_is_refused():
  with pytest.raises(ValueError, match="rule 'iterative' with ndarray"):
    projection.pt_select_edges(np.ones(3), "iterative", num_candidates=3)
  with pytest.raises(ValueError, match="criterion 'error'"):
    projection.pt_select_op(jnp.ones(2), jnp.ones(2, bool), criterion="error")


def test_the_schedules_are_the_oracles(oracle):
  space = oracle["schedule"]["darts_space"]
  assert projection.schedule(
    num_edges=14, num_choices=3, interval=5
  ) == projection.Schedule(
    tuple(space["project_op_epochs"]),
    tuple(space["project_edge_epochs"]),
    space["total_epochs"],
  )
  bench = oracle["schedule"]["nasbench201"]
  assert projection.schedule(
    num_edges=6, num_choices=0, interval=5
  ) == projection.Schedule(
    tuple(bench["project_op_epochs"]), (), bench["total_epochs"]
  )


@pytest.mark.parametrize("num_edges", [1, 2, 6])
@pytest.mark.parametrize("num_choices", [0, 1, 3])
@pytest.mark.parametrize("interval", [1, 2, 5])
def test_no_two_decisions_share_an_epoch(num_edges, num_choices, interval):
  found = projection.schedule(
    num_edges=num_edges, num_choices=num_choices, interval=interval
  )
  epochs = found.op_epochs + found.edge_epochs
  assert len(found.op_epochs) == num_edges
  assert len(set(epochs)) == num_edges + num_choices
  assert sorted(epochs) == list(epochs) and epochs[-1] < found.num_epochs


def test_decided_edges_are_constants_in_the_masked_weights():
  logits = jnp.array([[0.1, 0.2], [0.3, 0.9], [0.0, 0.0], [1.0, 2.0]])
  projected = jnp.array([True, False, True, False])
  op = jnp.array([1, -1, 0, -1])
  discarded = jnp.array([False, False, True, True])

  def masked(logits):
    weights = projection.masked_weights(
      jax.nn.softmax(logits, axis=-1), projected, op, discarded
    )
    return jnp.sum(weights * jnp.array([[1.0, 2.0]] * 4)), weights

  grad, weights = jax.jit(jax.grad(masked, has_aux=True))(logits)
  np.testing.assert_array_equal(weights[0], [0, 1])
  np.testing.assert_array_equal(weights[1], jax.nn.softmax(logits[1]))
  np.testing.assert_array_equal(weights[2:], np.zeros((2, 2)))
  assert jnp.all(grad[jnp.array([0, 2, 3])] == 0)
  assert jnp.all(grad[1] != 0)


def test_trials_zero_one_weight_or_one_edge_and_nothing_else():
  weights = jax.nn.softmax(jax.random.normal(jax.random.key(0), (4, 3)))
  trials = jax.jit(projection.op_trials)(weights, 2)
  assert trials.shape == (3, 4, 3)
  for op in range(3):
    expected = np.array(weights)
    expected[2, op] = 0
    np.testing.assert_array_equal(trials[op], expected)
  trials = jax.jit(projection.edge_trials)(weights, jnp.array([3, 1]))
  for trial, edge in zip(trials, (3, 1), strict=True):
    expected = np.array(weights)
    expected[edge] = 0
    np.testing.assert_array_equal(trial, expected)


def test_picks_are_uniform_over_the_candidates():
  num_draws = 20_000
  candidates = jnp.array([True, False, True, True, False])
  keys = jax.random.split(jax.random.key(1), num_draws)
  picks = jax.jit(jax.vmap(projection.pick, (0, None)))(keys, candidates)
  counts = np.bincount(np.asarray(picks), minlength=5)
  assert counts[1] == counts[4] == 0
  error = counts[[0, 2, 3]] / num_draws - 1 / 3
  assert np.all(np.abs(error) < 4 * (2 / 9 / num_draws) ** 0.5)
  assert projection.pick(keys[0], jnp.zeros(5, bool)) == -1


def test_choices_under_vmap_are_the_loop():
  scores = jax.random.uniform(jax.random.key(2), (6, 5))
  mask = scores < 0.9
  mapped = jax.vmap(projection.pt_select_op)(scores, mask)
  kept = jax.vmap(
    lambda row: projection.strongest_candidates(
      row, num_edges=2, criterion="acc"
    )
  )(scores)
  for row in range(6):
    allowed = [k for k in range(5) if mask[row, k]]
    assert mapped[row] == min(allowed, key=lambda k: scores[row, k])
    np.testing.assert_array_equal(
      np.flatnonzero(kept[row]), np.sort(np.argsort(scores[row])[:2])
    )
