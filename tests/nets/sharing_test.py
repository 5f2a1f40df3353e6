"""SPEC 4.5, G7: one set of parameters and one output for each node."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.nets import macro, supernet
from jnas.nets.options import Options
from jnas.spaces import SPACES
from tests.nets import small

PLAN = macro.plan(num_cells=3, features=4, num_classes=4, stem="cifar")
# Those of the DARTS list with parameters at stride 1.
PARAMETRISED = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")


def stacks(tree):
  """Kernels of the last layer of every operation of a cell."""
  found = []
  for node in (tree[f"node_{index}"] for index in range(5)):
    for op in PARAMETRISED:
      layers = node[op]
      last = layers.get("pointwise", layers.get("pointwise_2"))
      found.append(len(last["kernel"]))
  return found


def convolutions(jaxpr):
  """Number of depthwise kernels in a program, stacked ones counted apart."""
  total = 0
  for eqn in jaxpr.eqns:
    if eqn.primitive.name in ("depthwise_conv", "separable_conv"):
      total += eqn.invars[1].aval.shape[0]
    for inner in jax.tree.leaves(
      list(eqn.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
    ):
      inner = getattr(inner, "jaxpr", inner)
      if hasattr(inner, "eqns"):
        total += convolutions(inner)
  return total


@pytest.mark.parametrize(("shared", "instances"), [(False, 14), (True, 5)])
def test_a_cell_has_so_many_instances_of_each_operation(shared, instances):
  space = SPACES["darts_no_none"]
  net = supernet.build(space, PLAN, Options(share_features=shared))
  images = jnp.zeros((1, 8, 8, 3))
  weights = {kind: jnp.zeros((14, 7)) for kind in space.cell_types}
  variables = jax.eval_shape(
    lambda key: net.init(key, images, weights, train=True), jax.random.key(0)
  )
  for index in range(3):
    kernels = stacks(variables["params"][f"cell_{index}"])
    assert sum(kernels) == instances * len(PARAMETRISED)
  program = jax.make_jaxpr(
    lambda variables: net.apply(variables, images, weights, train=False)
  )(variables)
  # Two depthwise kernels in a separable convolution, one in a dilated one;
  # three cells. A shared output is computed once.
  assert convolutions(program.jaxpr) == 3 * instances * (2 + 2 + 1 + 1)


def test_sharing_is_the_supernet_with_tied_parameters():
  images = jnp.asarray(
    np.random.default_rng(0).normal(size=(2, 8, 8, 3)), jnp.float32
  )
  weights = {
    kind: jax.nn.softmax(
      jnp.asarray(np.random.default_rng(1).normal(size=small.SHAPE)), axis=-1
    )
    for kind in small.SPACE.cell_types
  }
  shared, apart = small.build(Options(share_features=True)), small.build()
  variables = small.fill(shared, images, weights)
  wanted = jax.eval_shape(
    lambda key: apart.init(key, images, weights, train=True), jax.random.key(0)
  )
  tied = jax.tree.map(
    lambda leaf, like: jnp.broadcast_to(leaf, like.shape), variables, wanted
  )
  logits = [
    jax.jit(
      lambda variables, net=net: net.apply(
        variables, images, weights, train=False
      )
    )(values)
    for net, values in ((shared, variables), (apart, tied))
  ]
  np.testing.assert_allclose(logits[0], logits[1], rtol=1e-4, atol=1e-4)
