"""Passes that share what comes before the first cell that differs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.nets import macro, prefix, supernet
from jnas.nets.options import Options
from tests.pipeline.tiny_selection import SPACE


def make(**options):
  """A network, its variables, images, and two mixing weights."""
  plan = macro.plan(num_cells=3, features=2, num_classes=3, stem="cifar")
  net = supernet.build(SPACE, plan, Options(**options))
  images = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
  weights = [
    {
      name: jnp.asarray(
        np.random.default_rng(seed).uniform(size=SPACE.mask(name).shape),
        jnp.float32,
      )
      for name in SPACE.cell_types
    }
    for seed in (0, 1)
  ]
  variables = net.init(jax.random.key(1), images, weights[0], train=False)
  return net, variables, images, weights


def test_the_parts_before_the_first_cell_of_a_type_are_recorded():
  net, variables, images, (weights, _) = make()
  types = [plan.cell_type for plan in net.plan.cells]
  assert types == ["normal", "reduce", "reduce"]

  def run():
    return net.apply(variables, images, weights, train=False)

  assert set(prefix.record(net, ("normal",), run)) == {"stem"}
  assert set(prefix.record(net, ("normal", "reduce"), run)) == {"stem"}
  recorded = prefix.record(net, ("reduce",), run)
  assert set(recorded) == {"stem", "cell_0"}
  # A network without any such cell has nothing to share.
  assert prefix.record(net, (), run) == {}


def test_a_replayed_pass_gives_the_same_bits():
  net, variables, images, (one, other) = make()
  other = {"normal": one["normal"], "reduce": other["reduce"]}

  def run(weights, images=images):
    return net.apply(variables, images, weights, train=False)

  recorded = prefix.record(net, ("reduce",), lambda: run(one))
  with prefix.replay(net, recorded):
    replayed = run(other)
    # The images are not looked at again.
    assert (run(other, jnp.zeros_like(images)) == replayed).all()
  np.testing.assert_array_equal(replayed, run(other))
  assert not np.allclose(replayed, run(one))


@pytest.mark.parametrize("remat", ["cell", "op"])
def test_networks_that_compute_again_are_run_as_a_whole(remat):
  net, variables, images, (weights, _) = make(remat=remat)

  def run():
    return net.apply(variables, images, weights, train=False)

  recorded = prefix.record(net, ("reduce",), run)
  assert bool(recorded) == (remat == "op")
  with prefix.replay(net, recorded):
    replayed = run()
  np.testing.assert_array_equal(replayed, run())
