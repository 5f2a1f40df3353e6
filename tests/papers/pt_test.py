"""PT, Algorithms 1 and 2, on supernets small enough to see through."""

import jax
import jax.numpy as jnp
import numpy as np

from jnas.functional import projection

LABELS = jnp.arange(64) % 2
IMAGES = jnp.where(LABELS == 1, 1.0, -1.0)


def accuracy(weights_ek):
  """Two edges from the input to one node; ops identity, shift, zero.

  Only the identity of the first edge carries the label.
  """
  outputs_ekb = jnp.stack(
    [
      jnp.stack([IMAGES, 0 * IMAGES + 0.1, 0 * IMAGES]),
      jnp.stack([0 * IMAGES, 0 * IMAGES - 0.1, 0 * IMAGES]),
    ]
  )
  node_b = jnp.einsum("ek,ekb->b", weights_ek, outputs_ekb)
  return jnp.mean((node_b > 0) == (LABELS == 1))


def test_perturbation_finds_what_magnitude_does_not():
  # The logits favour zero by 10.
  weights = jax.nn.softmax(jnp.array([[0.0, 0.0, 10.0]] * 2), axis=-1)
  scores = jax.vmap(accuracy)(projection.op_trials(weights, 0))
  # Without the identity half of the labels are right, without others all.
  np.testing.assert_array_equal(scores, [0.5, 1.0, 1.0])
  assert projection.pt_select_op(scores, jnp.ones(3, bool)) == 0
  assert jnp.argmax(weights[0]) == 2


def test_topology_keeps_the_edge_that_carries_the_label():
  weights = projection.masked_weights(
    jnp.zeros((2, 3)), jnp.ones(2, bool), jnp.array([0, 1]), jnp.zeros(2, bool)
  )
  np.testing.assert_array_equal(weights, [[1, 0, 0], [0, 1, 0]])
  scores = jax.vmap(accuracy)(projection.edge_trials(weights, jnp.arange(2)))
  np.testing.assert_array_equal(scores, [0.5, 1.0])
  kept = projection.pt_select_edges(
    scores, "one_shot", num_candidates=2, num_edges=1
  )
  assert kept == (0,)


def test_a_run_decides_every_edge_once_whatever_the_resume():
  plan = projection.schedule(num_edges=4, num_choices=0, interval=3)
  key = jax.random.key(0)

  def run(decided, decisions):
    order = []
    for decision in decisions:
      edge = int(projection.pick(jax.random.fold_in(key, decision), ~decided))
      decided = decided.at[edge].set(True)
      order.append(edge)
    return decided, order

  count = range(len(plan.op_epochs))
  decided, whole = run(jnp.zeros(4, bool), count)
  assert sorted(whole) == [0, 1, 2, 3] and jnp.all(decided)
  half, first = run(jnp.zeros(4, bool), count[:2])
  assert first + run(half, count[2:])[1] == whole
