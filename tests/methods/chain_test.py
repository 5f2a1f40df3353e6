"""Which methods search a chain of layers, whose kinds differ in shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas import methods
from jnas.nets import families, mbconv_plan
from jnas.selection import SELECTORS
from tests.methods import contexts
from tests.pipeline import tiny_mbconv

SPACE = tiny_mbconv.SPACE
KEY = jax.random.key(0)


@pytest.mark.parametrize(
  ("name", "given"),
  [
    ("darts", {}),
    ("snas", {}),
    ("gdas", {}),
    ("random_sharing", {}),
    ("unas", {"cell": "edges"}),
  ],
)
def test_methods_that_choose_by_edge_search_layers(name, given):
  method = methods.METHODS[name]
  settings = method.settings(**given)
  arch = method.init(settings, KEY, SPACE)
  memory = method.init_memory(settings, SPACE)
  context = contexts.make(SPACE, memory=memory)
  for weights in (
    method.mix(settings, arch, KEY, context),
    method.probs(settings, arch, context),
  ):
    for kind in SPACE.cell_types:
      assert weights[kind].shape == SPACE.mask(kind).shape
      np.testing.assert_allclose(jnp.sum(weights[kind], -1), 1.0, rtol=1e-5)
  decided = methods.decide(method, settings, arch, context)
  genotype = SELECTORS[method.selector](decided, SPACE)
  plan = families.MBCONV.plan(3, 4, 10, "cifar")
  assert len(mbconv_plan.ops_of(genotype, plan)) == 3


@pytest.mark.parametrize("name", ["pc_darts", "entrannas_dst", "sgas"])
def test_methods_of_cells_refuse_a_chain(name):
  method = methods.METHODS[name]
  settings = method.settings()
  with pytest.raises(ValueError, match="works on cells alone"):
    arch = method.init(settings, KEY, SPACE)
    memory = method.init_memory(settings, SPACE)
    method.mix(settings, arch, KEY, contexts.make(SPACE, memory=memory))


def test_a_factorised_cell_is_none_of_a_chain():
  with pytest.raises(ValueError, match="set cell 'edges'"):
    methods.METHODS["unas"].init(methods.METHODS["unas"].settings(), KEY, SPACE)
