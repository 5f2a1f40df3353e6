"""Backbones whose last strides are taken back."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas import genotype
from jnas.nets import deeplab, derived, macro, mbconv, mbconv_plan, phases
from jnas.nets import segmenter as segmenters
from jnas.ops import OPS, Settings

SETTINGS = Settings(affine=True, pool_norm=False)
CELLS = genotype.parse("DARTS_V2")
# Two kinds of convolutions, both pools, skips in a reduction cell.
MIXED = genotype.from_dict(
  {
    "format": "jnas.genotype/1",
    **{
      name: {
        "num_inputs": 2,
        "nodes": [
          [["skip_connect", 0], [first, 1]],
          [["dil_conv_5x5", 0], [second, 2]],
        ],
        "concat": [2, 3],
      }
      for name, first, second in (
        ("normal", "sep_conv_3x3", "max_pool_3x3"),
        ("reduce", "avg_pool_3x3", "dil_conv_3x3"),
      )
    },
  }
)


def head_of(output_stride):
  return deeplab.Settings(3, 4, (1, 2, 3), output_stride, False, 0.0)


def draw_variables(net, images):
  """Weights and statistics of any kind, without compiling how they begin."""
  shapes = jax.eval_shape(
    lambda: net.init(jax.random.key(1), images, train=False)
  )
  random = np.random.default_rng(5)
  least = {"params": -0.5, "batch_stats": 0.1}  # no variance is negative
  return {
    name: jax.tree.map(
      lambda leaf, low=least[name]: random.uniform(low, 0.6, leaf.shape).astype(
        np.float32
      ),
      tree,
    )
    for name, tree in shapes.items()
  }


def run(net, variables, images, wanted):
  """What goes into one of a network's modules, and the network's output."""
  seen = []

  def note(next_fun, args, kwargs, context):
    if context.module.name == wanted:
      seen.append(args[0])
    return next_fun(*args, **kwargs)

  def apply(variables):
    seen.clear()
    with nn.intercept_methods(note):
      return net.apply(variables, images, train=False), seen[0]

  output, entering = jax.jit(apply)(variables)
  return entering, output


def test_splitting_and_joining_gives_every_pixel_once():
  x = jnp.arange(2 * 4 * 6, dtype=jnp.float32).reshape(2, 4, 6, 1)
  split = phases.split(x)
  assert split.shape == (8, 4, 6, 1)
  np.testing.assert_array_equal(split[::4], x)
  np.testing.assert_array_equal(phases.join(split[:, ::2, ::2]), x)


@pytest.mark.parametrize(
  "op", ["sep_conv_3x3", "dil_conv_3x3", "conv_3x3", "max_pool_3x3"]
)
def test_a_stride_taken_back_is_the_operation_at_every_pixel(op):
  # A stride-2 operation at every pixel is the operation without stride where
  # one kernel is all there is to it; the first row and column see the border.
  def build(stride):
    return OPS[op].build(
      features=4, stride=stride, targets=1, settings=SETTINGS, name=None
    )

  x = jax.random.normal(jax.random.key(0), (2, 8, 8, 4))
  variables = build(2).init(jax.random.key(1), x[None], train=False)
  apply = jax.jit(lambda x: build(2).apply(variables, x[None], train=False)[0])
  strided = apply(x)
  taken_back = phases.join(apply(phases.split(x)))
  np.testing.assert_array_equal(taken_back[:, ::2, ::2], strided)
  if op != "sep_conv_3x3":  # whose second kernel is dilated then
    dense = build(1).apply(variables, x[None], train=False)[0]
    inner = slice(3, -3)
    np.testing.assert_allclose(
      taken_back[:, inner, inner], dense[:, inner, inner], atol=1e-5
    )


@pytest.mark.parametrize(
  ("cells", "num_cells", "output_stride"),
  [(MIXED, 3, 16), (MIXED, 4, 8), (CELLS, 5, 16)],
)
def test_every_other_pixel_is_what_the_classifiers_backbone_gives(
  cells, num_cells, output_stride
):
  plan = macro.plan(
    num_cells=num_cells, features=4, num_classes=3, stem="imagenet"
  )
  images = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
  net = segmenters.of_cells(cells, plan, SETTINGS, head_of(output_stride))
  classifier = derived.build(cells, plan, auxiliary=False)
  variables = draw_variables(net, images)
  classified = draw_variables(classifier, images)
  known = {
    name: {k: v for k, v in tree.items() if k != segmenters.HEAD}
    for name, tree in variables.items()
  }
  known["params"]["classifier"] = classified["params"]["classifier"]
  # The heads are all that the two do not share.
  shapes = [
    jax.tree.map(lambda leaf: leaf.shape, tree) for tree in (known, classified)
  ]
  assert shapes[0] == shapes[1]
  dense, logits = run(net, variables, images, segmenters.HEAD)
  assert logits.shape == (2, 64, 64, 3)
  assert dense.shape[1:3] == (64 // output_stride, 64 // output_stride)
  every = 32 // output_stride
  mean = dense[:, ::every, ::every].mean((1, 2))
  # The classifier reads the mean of the strided features.
  strided, _ = run(classifier, known, images, "classifier")
  np.testing.assert_allclose(mean, strided, rtol=1e-4, atol=1e-4)


def test_a_chain_of_mbconv_layers_has_a_head_as_well():
  plan = mbconv_plan.scaled(
    num_layers=9, stem=8, num_classes=3, small_images=False
  )
  ops = tuple(mbconv_plan.OPS[layer.cell_type][-1] for layer in plan.layers)
  images = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
  net = segmenters.MBConvSegmenter(plan, ops, head_of(16))
  variables = draw_variables(net, images)
  dense, logits = run(net, variables, images, segmenters.HEAD)
  assert logits.shape == (2, 32, 32, 3)
  assert dense.shape == (2, 2, 2, plan.layers[-1].features)
  classifier = mbconv.DerivedNet(plan, ops)
  layers = {k for k in variables["params"] if k != segmenters.HEAD}
  known = draw_variables(classifier, images)["params"]
  assert layers == set(known) - {"head"}


def test_a_stem_that_keeps_the_resolution_is_refused():
  plan = macro.plan(num_cells=3, features=4, num_classes=3, stem="cifar")
  with pytest.raises(ValueError, match="evaluate.stem must be 'imagenet'"):
    segmenters.of_cells(CELLS, plan, SETTINGS, head_of(16))


def test_weights_of_another_backbone_are_refused_by_name():
  variables = {"params": {"stem": {"kernel": np.zeros((2, 3))}}}
  kernel = np.ones((2, 3))
  found = segmenters.overlay(variables, {"params/stem/kernel": kernel}, "r")
  assert found["params"]["stem"]["kernel"] is kernel
  with pytest.raises(ValueError, match="r has none where the backbone has p"):
    segmenters.overlay(variables, {}, "r")
  with pytest.raises(ValueError, match=r"r has one of shape \(3,\)"):
    segmenters.overlay(variables, {"params/stem/kernel": np.ones(3)}, "r")
