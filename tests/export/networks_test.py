"""The text of network.py computes what jnas's own network does."""

import ast
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jnas.export import files, networks, source, weights
from jnas.genotype import Cell, Genotype, from_nasbench201
from jnas.nets import families
from jnas.ops import OPS, Settings

# One operation of each kind; the first node has a connection twice, the last
# one none at all.
KINDS = (
  (("sep_conv_3x3", 0), ("sep_conv_3x3", 0), ("skip_connect", 1)),
  (("avg_pool_3x3", 1), ("conv_1x5_5x1", 0), ("none", 2)),
  (("max_pool_3x3", 0), ("dil_conv_5x5", 3)),
  (("conv_3x3", 1), ("skip_connect", 2)),
  (),
)
EVERY_KIND = Cell(KINDS, (2, 3, 4, 5, 6))
SMALL = Cell(((("none", 0),), (("dil_conv_5x5", 1), ("max_pool_3x3", 2))), (3,))
BENCH = from_nasbench201(
  "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|"
  "nor_conv_3x3~2|"
)
CHAIN = Genotype(
  Cell(((("skip_connect", 0),),), (1,), num_inputs=1),
  Cell(((("mbconv_3x3_e3", 0),), (("mbconv_7x7_e6", 1),)), (2,), num_inputs=1),
)


def make(family, genotype, *, cells, features, stem, size, settings=None):
  """A network with drawn variables, batch statistics among them."""
  found = families.FAMILIES[family]
  plan = found.plan(cells, features, 3, stem)
  settings = settings or found.settings
  net = found.derived(genotype, plan, False, settings)
  shape = (size, size, 2)
  shapes = jax.eval_shape(
    lambda: net.init(jax.random.key(0), jnp.zeros((1, *shape)), train=False)
  )
  draw = np.random.default_rng(0)
  variables = traverse_util.unflatten_dict(
    {
      # Positive, as variances must be.
      path: draw.uniform(0.1, 0.6, leaf.shape).astype(np.float32)
      * (1 if path[-1] == "var" else draw.choice([-1, 1], leaf.shape))
      for path, leaf in traverse_util.flatten_dict(shapes).items()
    }
  )
  variables = jax.tree.map(lambda leaf: leaf.astype(np.float32), variables)
  facts = source.Facts("a", shape, (0.5, 0.4), (0.2, 0.3), ("x", 'y"', "z"))
  return files.Trained(net, variables, genotype, plan, settings, facts)


CASES = {
  "every kind": dict(
    family="darts",
    genotype=Genotype(EVERY_KIND, EVERY_KIND),
    cells=3,
    features=2,
    stem="cifar",
    size=8,
  ),
  "imagenet stem": dict(
    family="darts",
    genotype=Genotype(SMALL, SMALL),
    cells=4,
    features=4,
    stem="imagenet",
    size=32,
  ),
  "norms behind pools": dict(
    family="darts",
    genotype=Genotype(SMALL, SMALL),
    cells=3,
    features=2,
    stem="cifar",
    size=8,
    settings=Settings(affine=True, pool_norm=True),
  ),
  "nasbench201": dict(
    family="nasbench201",
    genotype=BENCH,
    cells=3,
    features=3,
    stem="cifar",
    size=8,
  ),
  "mbconv": dict(
    family="mbconv",
    genotype=CHAIN,
    cells=3,
    features=8,
    stem="cifar",
    size=8,
  ),
}


def load_module(path):
  spec = importlib.util.spec_from_file_location("exported", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.mark.parametrize("case", CASES)
def test_network_py_gives_the_logits_of_the_network(case, tmp_path):
  trained = make(**CASES[case])
  for name in ("npz", "python"):
    kind = files.FORMATS[name]
    kind.write(tmp_path / kind.file, trained)
  draw = np.random.default_rng(1)
  images = draw.normal(size=(3, *trained.facts.image_shape)).astype(np.float32)
  own = np.asarray(jax.jit(trained.logits)(images))
  assert own.std() > 1e-3
  for name in ("npz", "python"):
    kind = files.FORMATS[name]
    logits = kind.run(tmp_path / kind.file, trained, images)
    np.testing.assert_allclose(logits, own, atol=1e-5 * np.abs(own).max())
  text = (tmp_path / "network.py").read_text()
  imported = {
    (getattr(node, "module", None) or node.names[0].name).partition(".")[0]
    for node in ast.parse(text).body  # Pillow is for pictures alone
    if isinstance(node, ast.Import | ast.ImportFrom)
  }
  assert imported == {"pathlib", "sys", "flax", "jax", "numpy"}
  assert max(map(len, text.splitlines())) <= 80
  # It has exactly the variables that are read, so that it can be trained on.
  module = load_module(tmp_path / "network.py")
  fresh = jax.eval_shape(module.Network().init, jax.random.key(0), images)
  expected = jax.tree.map(jnp.shape, module.load())
  assert jax.tree.map(jnp.shape, fresh) == expected
  assert module.CLASSES == ("x", 'y"', "z")


def test_network_py_trains_as_the_network_does(tmp_path):
  trained = make(**CASES["norms behind pools"])
  for name in ("npz", "python"):
    kind = files.FORMATS[name]
    kind.write(tmp_path / kind.file, trained)
  module = load_module(tmp_path / "network.py")
  draw = np.random.default_rng(1)
  images = draw.normal(size=(4, *trained.facts.image_shape)).astype(np.float32)

  @jax.jit
  def own(variables):
    return trained.net.apply(
      variables, images, train=True, mutable=["batch_stats"]
    )

  @jax.jit
  def other(variables):
    return module.Network().apply(
      variables, images, train=True, mutable=["batch_stats"]
    )

  outputs, moved = own(trained.variables)
  logits, moved_there = other(module.load())
  np.testing.assert_allclose(logits, outputs.logits, atol=1e-4)
  flat = weights.flatten(
    {"params": trained.variables["params"], **moved},
    trained.genotype,
    trained.plan,
  )
  there = traverse_util.flatten_dict(moved_there, sep="/")
  assert len(there) > 20
  for name, value in there.items():
    np.testing.assert_allclose(value, flat[name], rtol=1e-4, atol=1e-5)


def test_pixels_are_normalised_as_in_training(tmp_path):
  trained = make(**CASES["mbconv"])
  for name in ("npz", "python"):
    kind = files.FORMATS[name]
    kind.write(tmp_path / kind.file, trained)
  module = load_module(tmp_path / "network.py")
  # (255 / 255 - 0.5) / 0.2 = 2.5 and (51 / 255 - 0.4) / 0.3 = -2/3.
  pixels = np.array([[[[255, 51]]]], np.uint8)
  np.testing.assert_allclose(
    module.normalize(pixels)[0, 0, 0], [2.5, -2 / 3], rtol=1e-6
  )
  images = np.full((2, 8, 8, 2), 100, np.uint8)
  logits = module.predict(images)
  assert logits.shape == (2, 3)


def test_each_connection_has_arrays_of_its_own():
  trained = make(**CASES["imagenet stem"])
  flat = weights.flatten(trained.variables, trained.genotype, trained.plan)
  kernel = flat["params/cell_0/node_3_0_dil_conv_5x5/depthwise/kernel"]
  assert kernel.shape == (5, 5, 1, 4)
  stacked = trained.variables["params"]["cell_0"]["node_1"]["dil_conv_5x5"]
  np.testing.assert_array_equal(
    kernel[:, :, 0], stacked["depthwise"]["kernel"][0]
  )
  trained_numbers = sum(
    value.size for name, value in flat.items() if name.startswith("params/")
  )
  counted = families.DARTS.count_derived(
    trained.genotype, trained.plan, 32, 2, trained.settings
  )
  assert trained_numbers == counted.params


@pytest.mark.parametrize("name", sorted(set(OPS) - {"none", "noise"}))
def test_every_operation_has_a_layer_with_its_kernel(name):
  cell = Cell((((name, 0),),), (2,))
  text = networks.render(
    Genotype(cell, cell),
    families.DARTS.plan(3, 2, 3, "cifar"),
    families.DARTS.settings,
  )
  side = max(["", *filter(str.isdigit, name)])
  if "pool" in name:
    wanted = name.title().partition("_")[0] + "Pool("
  elif name == "skip_connect":
    wanted = f'FactorizedReduce(c, name="node_2_0_{name}")(n0, train)'
  else:
    wanted = f'(c, {side}, stride=2, name="node_2_0_{name}")(n0, train)'
  assert wanted in text


def test_an_operation_of_the_users_own_is_refused():
  cell = Cell(((("tests.export.networks_test:OWN", 0),),), (2,))
  with pytest.raises(ValueError, match="is none that can be written in plain"):
    source.render(
      Genotype(cell, cell),
      families.DARTS.plan(3, 2, 3, "cifar"),
      families.DARTS.settings,
      source.Facts("a", (8, 8, 1), (0.5,), (0.2,), ("x", "y")),
    )


OWN = OPS["nor_conv_1x1"]._replace(build=lambda **_: None)
