"""SPEC 2.6 and 4.3, E13: UNAS's factorised cell."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from jnas.functional import categorical, factorized
from jnas.spaces import base as spaces_base

NUM_OPS = 3


def logits_of(seed, batch=()):
  uniform = factorized.uniform_logits(
    num_inputs=2, num_nodes=4, num_ops=NUM_OPS
  )
  random = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: jnp.asarray(random.normal(size=(*batch, *leaf.shape))), uniform
  )


def softmax(tree):
  return jax.tree.map(lambda leaf: jax.nn.softmax(leaf, axis=-1), tree)


def test_logits_start_uniform_and_have_the_papers_number():
  logits = factorized.uniform_logits(num_inputs=2, num_nodes=4, num_ops=7)
  assert [leaf.shape for leaf in logits["input"]] == [
    (2, 2),
    (2, 3),
    (2, 4),
    (2, 5),
  ]
  assert sum(leaf.size for leaf in jax.tree.leaves(logits)) == 28 + 8 * 7
  assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(logits))


def test_rows_are_edges_in_the_order_of_the_spaces(x64):
  selectors = softmax(logits_of(0))
  weights = factorized.cell_weights(selectors)
  edges = spaces_base.dense_edges(2, 4)
  assert weights.shape == (len(edges), NUM_OPS)
  for edge, (source, target) in enumerate(edges):
    node = target - 2
    first, second = (
      selectors["input"][node][s, source] * selectors["op"][node, s]
      for s in range(2)
    )
    np.testing.assert_allclose(weights[edge], first + second, rtol=1e-12)
  np.testing.assert_allclose(jnp.sum(weights[5:9]), 2, rtol=1e-12)  # a node


def test_leading_axes_are_kept(x64):
  batch = softmax(logits_of(1, batch=(5, 2)))
  weights = factorized.cell_weights(batch)
  counts = factorized.duplicates(batch)
  assert weights.shape == (5, 2, 14, NUM_OPS) and counts.shape == (5, 2)
  one = jax.tree.map(lambda leaf: leaf[3, 1], batch)
  np.testing.assert_allclose(
    weights[3, 1], factorized.cell_weights(one), rtol=1e-12
  )
  np.testing.assert_allclose(
    counts[3, 1], factorized.duplicates(one), rtol=1e-12
  )


def test_duplicates_are_the_trace_of_the_equation(x64):
  selectors = softmax(logits_of(2))
  expected = 0.0
  for node in range(4):
    first, second = (
      np.outer(selectors["input"][node][s], selectors["op"][node, s])
      for s in range(2)
    )
    expected += np.trace(first @ second.T)
  np.testing.assert_allclose(
    factorized.duplicates(selectors), expected, rtol=1e-12
  )


def test_duplicates_count_the_nodes_whose_pairs_coincide():
  for i, i2, o, o2 in itertools.product(range(2), range(2), range(3), range(3)):
    selectors = {
      "input": [jax.nn.one_hot(jnp.asarray([i, i2]), 2)],
      "op": jax.nn.one_hot(jnp.asarray([[o, o2]]), NUM_OPS),
    }
    assert factorized.duplicates(selectors) == float((i, o) == (i2, o2))


def test_log_probability_and_score_are_those_of_all_four_factors(x64):
  logits = logits_of(3)
  probs = softmax(logits)
  random = np.random.default_rng(4)

  def pick(leaf):
    index = random.integers(leaf.shape[-1], size=leaf.shape[:-1])
    return jax.nn.one_hot(index, leaf.shape[-1], dtype=leaf.dtype)

  one_hot = jax.tree.map(pick, logits)
  product = 1.0
  for node in range(4):
    for s in range(2):
      product *= float(probs["input"][node][s] @ one_hot["input"][node][s])
      product *= float(probs["op"][node, s] @ one_hot["op"][node, s])
  found, score = jax.value_and_grad(categorical.log_prob)(logits, one_hot)
  np.testing.assert_allclose(found, np.log(product), rtol=1e-12)
  for slope, z, p in zip(
    *(jax.tree.leaves(tree) for tree in (score, one_hot, probs)), strict=True
  ):
    np.testing.assert_allclose(slope, z - p, atol=1e-12)


def test_strongest_pairs_may_name_one_input_twice():
  logits = {
    "input": [jnp.asarray([[1.0, 0.0], [2.0, 1.0]]), jnp.eye(3)[1:]],
    "op": jnp.asarray([[[0.0, 1.0], [3.0, 2.0]], [[0.0, 0.0], [0.0, 5.0]]]),
  }
  sources, ops = factorized.strongest_pairs(logits)
  assert sources.tolist() == [[0, 0], [1, 2]]
  assert ops.tolist() == [[1, 0], [0, 1]]
