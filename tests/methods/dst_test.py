"""EnTranNAS-DST as pure functions of its logits and thresholds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.methods import dst
from jnas.selection import connections
from jnas.spaces import SPACES
from tests.methods import contexts

SPACE = SPACES["s2"]


def arch(*, beta):
  settings = dst.Settings()
  made = dst.init(settings, jax.random.key(0), SPACE)
  thresholds = {name: jnp.full(4, beta) for name in SPACE.cell_types}
  return {"alpha": made["alpha"], "beta": thresholds}


def test_at_the_start_every_connection_is_active():
  settings, context = dst.Settings(), contexts.make(SPACE)
  made = dst.init(settings, jax.random.key(0), SPACE)
  for name, value in dst.transit(settings, made, context).items():
    assert value.sum() == 28, name
  report = dst.report(settings, made, context)
  assert int(report["connections_normal"]) == 28
  np.testing.assert_allclose(report["threshold_reduce"], 0.5, rtol=1e-6)


def test_a_threshold_near_1_leaves_each_node_its_strongest_connection():
  settings, context = dst.Settings(), contexts.make(SPACE)
  genotype = connections.threshold(
    dst.probs(settings, arch(beta=30.0), context), SPACE
  )
  for cell in (genotype.normal, genotype.reduce):
    assert all(len(node) == 1 for node in cell.nodes)


def test_the_penalty_is_the_weighted_softplus_of_minus_beta():
  """0.1 x 2 cell types x log(1 + e^-0) = 0.2 log 2."""
  settings, context = dst.Settings(), contexts.make(SPACE)
  found = dst.penalty(settings, arch(beta=0.0), None, context, {})
  np.testing.assert_allclose(found, 0.2 * np.log(2), rtol=1e-6)
  grad = jax.grad(lambda a: dst.penalty(settings, a, None, context, {}))(
    arch(beta=0.0)
  )
  # -(1 - t) for each node, times lambda over the 4 nodes.
  np.testing.assert_allclose(grad["beta"]["normal"], -0.1 * 0.5 / 4, rtol=1e-5)


def test_a_space_with_none_is_refused():
  with pytest.raises(ValueError, match="without 'none'"):
    dst.check_space(SPACES["darts"])
