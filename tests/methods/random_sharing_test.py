"""Cells drawn for shared weights have the law of random genotypes."""

import jax
import numpy as np

from jnas.methods import random_sharing
from jnas.spaces import SPACES
from tests.methods import contexts

SPACE = SPACES["darts"]


def test_two_distinct_edges_a_node_and_every_operation_alike():
  """4 standard errors; `none` is never drawn."""
  context = contexts.make(SPACE)
  settings = random_sharing.Settings()
  arch = random_sharing.init(settings, jax.random.key(0), SPACE)
  keys = jax.random.split(jax.random.key(1), 4000)
  drawn = jax.vmap(
    lambda key: random_sharing.mix(settings, arch, key, context)["normal"]
  )(keys)
  drawn = np.asarray(drawn)
  assert set(np.unique(drawn)) == {0.0, 1.0}
  targets = np.array([target for _, target in SPACE.edges])
  for node in range(2, 6):
    assert (drawn[:, targets == node].sum((1, 2)) == 2).all()
    # Each of the node's edges is taken with probability 2 / node.
    share = drawn[:, targets == node].sum(-1).mean(0)
    p = 2 / node
    assert (np.abs(share - p) < 4 * (p * (1 - p) / 4000) ** 0.5 + 1e-9).all()
  counts = drawn.sum((0, 1))
  total = counts.sum()
  assert counts[0] == 0
  p = 1 / 7
  error = 4 * (p * (1 - p) / total) ** 0.5
  assert (np.abs(counts[1:] / total - p) < error).all()
