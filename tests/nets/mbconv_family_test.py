"""The MBConv networks as the pipeline knows networks."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas import genotype as genotypes
from jnas.genotype import Cell, Genotype
from jnas.nets import families, mbconv, mbconv_plan, timed
from jnas.nets.options import Options
from jnas.selection import connections, magnitude, random
from jnas.spaces import SPACES, proxyless
from tests.pipeline import tiny_mbconv

FAMILY = families.MBCONV
SPACE = tiny_mbconv.SPACE
PLAN = FAMILY.plan(3, 4, 10, "cifar")
SKIP, *BLOCKS = mbconv_plan.OPS["normal"]


def chain(names):
  nodes = tuple(((name, index),) for index, name in enumerate(names))
  return Cell(nodes, (len(names),), 1)


def test_twenty_one_layers_of_forty_channels_are_the_published_layout():
  assert FAMILY.plan(21, 40, 1000, "imagenet") == mbconv_plan.Plan()
  space = SPACES["mbconv"]
  assert [len(space.ops[name]) for name in space.cell_types] == [15, 6]
  assert space.mask("normal").shape == (15, 7)
  assert space.mask("reduce").shape == (6, 6)
  assert space.ops["normal"][0] == mbconv_plan.OPS["normal"]
  assert space.ops["reduce"][0] == mbconv_plan.OPS["reduce"]


@pytest.mark.parametrize(
  ("layers", "normal", "reduce"),
  [(3, 1, 2), (9, 4, 5), (11, 5, 6), (16, 10, 6)],
)
def test_shorter_chains_have_layers_of_both_kinds(layers, normal, reduce):
  plan = FAMILY.plan(layers, 8, 10, "cifar")
  assert plan.num_rows("normal") == normal
  assert plan.num_rows("reduce") == reduce
  assert plan.layers[0].stride == 1 and plan.stem_stride == 1


@pytest.mark.parametrize(
  ("layers", "channels", "said"), [(12, 40, "12 layers"), (21, 2, "2 channels")]
)
def test_a_layout_that_makes_no_chain_is_refused(layers, channels, said):
  with pytest.raises(ValueError, match=said):
    FAMILY.plan(layers, channels, 10, "cifar")


@pytest.mark.parametrize(
  ("name", "params"), [("MB_PROXYLESS_GPU", 7_119_848), ("MB_UNAS", 5_965_528)]
)
def test_a_published_chain_survives_its_file_and_counts_exactly(
  shared, tmp_path, name, params
):
  path = shared / "oracles" / "reference_genotypes.json"
  entry = json.loads(path.read_text())["genotypes"][name]
  ours = {
    kind: [
      SKIP if op == "mic_zero" else op.replace("mic", "mbconv") for op in ops
    ]
    for kind, ops in entry["genotype"].items()
  }
  genotype = Genotype(chain(ours["normal"]), chain(ours["reduce"]), "mbconv")
  genotypes.save(tmp_path / "chain.json", genotype)
  assert genotypes.load(tmp_path / "chain.json") == genotype
  counted = FAMILY.count_derived(
    genotype, mbconv_plan.Plan(), 224, 3, FAMILY.settings
  )
  assert counted.params == params
  assert counted.madds == entry["counts"]["imagenet"]["madds"]
  # What is chosen adds up to what is counted.
  base, rows = FAMILY.sizes(
    SPACES["mbconv"], mbconv_plan.Plan(), size=(224, 224), image_channels=3
  )
  chosen = magnitude.chosen_weights(genotype, SPACES["mbconv"])
  total = base + sum(
    np.einsum("ekc,ek->c", rows[kind], chosen[kind]) for kind in chosen
  )
  np.testing.assert_array_equal(total, [counted.params, counted.madds])


def test_every_rule_of_derivation_names_one_candidate_a_layer():
  space = SPACES["mbconv"]
  generator = np.random.default_rng(0)
  weights = {
    name: jnp.asarray(generator.uniform(size=space.mask(name).shape))
    for name in space.cell_types
  }
  plan = mbconv_plan.Plan()
  wanted = mbconv_plan.strongest_ops(weights, plan)
  for derive in (magnitude.derive, connections.argmax):
    assert mbconv_plan.ops_of(derive(weights, space), plan) == wanted
  drawn = random.sample(jax.random.key(0), space)
  assert len(mbconv_plan.ops_of(drawn, plan)) == 21


def test_a_genotype_of_cells_is_none_of_a_chain():
  with pytest.raises(ValueError, match="none of a chain"):
    mbconv_plan.ops_of(genotypes.parse("DARTS_V1"), PLAN)
  short = Genotype(chain(BLOCKS[:2]), chain(BLOCKS[:2]))
  with pytest.raises(ValueError, match="2 normal layers"):
    mbconv_plan.ops_of(short, PLAN)


def test_the_indexed_network_is_the_derived_one_with_its_variables():
  genotype = Genotype(chain([SKIP]), chain([BLOCKS[1], BLOCKS[4]]))
  weights = magnitude.chosen_weights(genotype, SPACE)
  program = FAMILY.indexed(SPACE, PLAN, FAMILY.settings, True)
  images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
  variables = program.init(images)
  index_l = program.index(weights)
  assert index_l.tolist() == [1, 0, 4]  # reduce, normal, reduce
  net = FAMILY.derived(genotype, PLAN, False, FAMILY.settings)

  @jax.jit
  def run(variables, images, index_l):
    taken = program.apply(variables, images, index_l)
    inherited = mbconv.inherit(variables, net.ops)
    return taken, net.apply(inherited, images, train=False).logits

  taken, wanted = run(variables, images, index_l)
  assert np.std(wanted) > 1e-4
  np.testing.assert_allclose(taken, wanted, rtol=1e-4, atol=1e-6)


def test_each_layer_is_timed_in_the_row_that_stands_for_it():
  layers = FAMILY.timed_layers(SPACE, PLAN, FAMILY.settings, 8, 8)
  assert [layer.cell_type for layer in layers] == ["reduce", "normal", "reduce"]
  assert [layer.first_row for layer in layers] == [0, 0, 1]
  assert layers[1].rows[0][0] is None  # a skip takes no time
  op = layers[2].rows[0][3]
  x = jnp.zeros((1, 2, *op.shape))
  y = jax.eval_shape(
    lambda: op.module.apply(
      timed.fill(op.module, x, train=False), x, train=False
    )
  )
  assert y.shape == (1, 2, 4, 4, PLAN.layers[2].features)


def test_what_the_chain_does_not_have_is_refused():
  with pytest.raises(ValueError, match="no such option"):
    FAMILY.supernet(SPACE, PLAN, Options(bottleneck=2))
  with pytest.raises(ValueError, match="no auxiliary head"):
    FAMILY.check_auxiliary(32, 32, "cifar")
  with pytest.raises(ValueError, match="multiple of 8"):
    FAMILY.check_image(28, 28, "cifar")
  with pytest.raises(ValueError, match="layers; a network of 3 layers"):
    FAMILY.supernet(proxyless.MBCONV_SMALL, PLAN, Options())
  with pytest.raises(ValueError, match="works on cells alone"):
    _ = SPACE.edges
