"""The head of DeepLabV3: its size, its output, its rates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.nets import count, deeplab

PAPER = deeplab.Settings(
  num_classes=21,
  features=256,
  rates=(6, 12, 18),
  output_stride=16,
  separable=False,
  dropout=0.1,
)


def variables_of(settings, channels, size=8):
  head = deeplab.Head(settings)
  x = jnp.zeros((2, size, size, channels))
  return jax.eval_shape(
    lambda: head.init(jax.random.key(0), x, (32, 48), train=False)
  )


def test_the_papers_head_on_a_known_backbone_has_the_parameters_counted():
  # DARTS on ImageNet: the last of 14 cells has 4 nodes of 4 * 48 channels, 768.
  # 1x1 and image: 2 * (768 * 256 + 512)            =   394,240
  # 3x3 at three rates: 3 * (9 * 768 * 256 + 512)   = 5,309,952
  # projection: 5 * 256 * 256 + 512                 =   328,192
  # classifier: (256 + 1) * 21                      =     5,397
  params = variables_of(PAPER, 768)["params"]
  assert count.count_params(params) == 6_037_781


def test_a_separable_head_has_the_parameters_counted():
  # 3x3: 3 * (9 * 768 + 2 * 768 + 768 * 256 + 512)  =   616,704
  settings = PAPER._replace(separable=True)
  params = variables_of(settings, 768)["params"]
  assert count.count_params(params) == 394_240 + 616_704 + 328_192 + 5_397


@pytest.mark.parametrize("separable", [False, True])
def test_every_pixel_of_the_image_has_its_logits(separable):
  settings = PAPER._replace(features=4, separable=separable, num_classes=3)
  head = deeplab.Head(settings)
  x = jax.random.normal(jax.random.key(0), (2, 3, 5, 6))
  variables = head.init(jax.random.key(1), x, (48, 80), train=False)
  logits = head.apply(variables, x, (48, 80), train=False)
  assert logits.shape == (2, 48, 80, 3)
  assert logits.dtype == jnp.float32
  again = head.apply(variables, x, (48, 80), train=False)
  np.testing.assert_array_equal(logits, again)


@pytest.mark.parametrize(("output_stride", "rate"), [(16, 2), (8, 4)])
@pytest.mark.parametrize("separable", [False, True])
def test_rates_double_at_output_stride_8(output_stride, rate, separable):
  settings = deeplab.Settings(2, 8, (2,), output_stride, separable, 0.0)
  head = deeplab.Head(settings)
  x = jax.random.normal(jax.random.key(0), (1, 17, 17, 8))
  variables = head.init(jax.random.key(1), x, (17, 17), train=False)

  def branch(x):
    _, state = head.apply(
      variables,
      x,
      (17, 17),
      train=False,
      capture_intermediates=lambda module, _: module.name == "atrous_0",
    )
    (found,) = state["intermediates"]["atrous_0"]["__call__"]
    return found[0, 0, 8, 8].sum()

  # Of the pixels around the middle one the nine at the rate are seen.
  seen = np.abs(jax.grad(lambda x: branch(x))(x))[0].sum(-1)
  rows, columns = np.nonzero(seen)
  assert set(rows) | set(columns) <= {8 - rate, 8, 8 + rate}
  assert {8 - rate, 8 + rate} & set(rows)


def test_enlarging_keeps_a_constant_and_lies_between_its_neighbours():
  np.testing.assert_allclose(deeplab.enlarge(jnp.ones((1, 2, 2, 1)), (8, 8)), 1)
  # Centres at halves: of 0 and 1 enlarged twice, -1/4 and 5/4 are outside, so
  # the ends repeat, and 1/4 and 3/4 lie between.
  row = jnp.array([0.0, 1.0]).reshape(1, 1, 2, 1)
  np.testing.assert_allclose(
    deeplab.enlarge(row, (1, 4))[0, 0, :, 0], [0, 0.25, 0.75, 1], atol=1e-6
  )


def test_features_are_dropped_in_training_alone():
  settings = PAPER._replace(features=8, dropout=0.5)
  head = deeplab.Head(settings)
  x = jax.random.normal(jax.random.key(0), (2, 4, 4, 5))
  variables = head.init(jax.random.key(1), x, (4, 4), train=False)

  def train(seed):
    return head.apply(
      variables,
      x,
      (4, 4),
      train=True,
      rngs={"dropout": jax.random.key(seed)},
      mutable=["batch_stats"],
    )[0]

  np.testing.assert_array_equal(train(0), train(0))
  assert not np.allclose(train(0), train(1))
