"""Losses and confusion matrices of pixels, worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import pixels, schedules

# True classes in rows, predicted in columns.
CONFUSION = np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]], np.int32)


def test_intersection_over_union_worked_by_hand():
  # Class 0: 3 right; 4 are of it, 5 are said to be: 3 / (4 + 5 - 3) = 1/2.
  # Class 1: 4 right, 6 of it, 5 said to be: 4 / 7. Class 2 is nowhere.
  iou = pixels.intersection_over_union(CONFUSION)
  np.testing.assert_allclose(iou[:2], [0.5, 4 / 7], rtol=1e-6)
  assert np.isnan(iou[2])
  mean = pixels.mean_iou(CONFUSION)
  np.testing.assert_allclose(mean, (0.5 + 4 / 7) / 2, rtol=1e-6)
  np.testing.assert_allclose(pixels.pixel_accuracy(CONFUSION), 7 / 10)


def test_a_class_that_is_only_predicted_counts_as_0():
  # Class 2 is no pixel's, and one is said to be of it: 0 / 1.
  confusion = CONFUSION + np.array([[0, 0, 1], [0, 0, 0], [0, 0, 0]])
  # Class 0 has 5 pixels now: 3 / (5 + 5 - 3).
  iou = pixels.intersection_over_union(confusion)
  np.testing.assert_allclose(iou, [3 / 7, 4 / 7, 0], rtol=1e-6)
  np.testing.assert_allclose(pixels.mean_iou(confusion), 1 / 3, rtol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_confusion_counts_pairs_and_leaves_out_what_is_ignored(jit):
  labels = jnp.array([[[0, 0], [1, 255]], [[2, 1], [1, 255]]], jnp.uint8)
  predicted = jnp.array([[[0, 1], [1, 0]], [[2, 0], [1, 2]]])

  def count(predicted, labels):
    return pixels.confusion(predicted, labels, num_classes=3)

  found = (jax.jit(count) if jit else count)(predicted, labels)
  # (0,0) (0,1) (1,1), then (2,2) (1,0) (1,1); the pixels of 255 are nowhere.
  np.testing.assert_array_equal(found, [[1, 1, 0], [1, 2, 0], [0, 0, 1]])
  assert found.dtype == jnp.int32


def test_a_perfect_prediction_has_a_mean_of_1_over_the_classes_that_are_there():
  labels = jnp.array([[[0, 3], [3, 255]]], jnp.uint8)
  found = pixels.confusion(
    jnp.where(labels == 255, 1, labels), labels, num_classes=5
  )
  assert float(pixels.mean_iou(found)) == 1
  assert float(pixels.pixel_accuracy(found)) == 1


def test_cross_entropy_worked_by_hand():
  # Two classes with odds 3 : 1; the third pixel is ignored.
  logits = jnp.log(jnp.array([[[[3.0, 1.0], [1.0, 3.0], [1e30, 1.0]]]]))
  labels = jnp.array([[[0, 0, 255]]], jnp.uint8)
  losses, counted = pixels.cross_entropy(logits, labels)
  np.testing.assert_allclose(
    losses, [[[-np.log(0.75), -np.log(0.25), 0]]], rtol=1e-6
  )
  np.testing.assert_array_equal(counted, [[[True, True, False]]])


def test_ignored_pixels_have_no_gradient():
  logits = jax.random.normal(jax.random.key(0), (1, 2, 2, 3))
  labels = jnp.array([[[0, 255], [255, 2]]], jnp.uint8)
  gradient = jax.grad(lambda x: pixels.cross_entropy(x, labels)[0].sum())(
    logits
  )
  none = np.abs(gradient).sum(-1) == 0
  np.testing.assert_array_equal(none, [[[False, True], [True, False]]])


def test_the_polynomial_schedule_worked_by_hand():
  rates = [
    schedules.polynomial(jnp.asarray(step), start=0.5, power=0.5, num_steps=100)
    for step in (0, 75, 100)
  ]
  # 0.5 * sqrt(1), 0.5 * sqrt(1/4), 0.
  np.testing.assert_allclose(rates, [0.5, 0.25, 0.0], rtol=1e-6)
