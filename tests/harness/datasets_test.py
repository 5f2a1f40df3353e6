"""What every entry of `DATASETS` owes, whatever it reads."""

import numpy as np
import pytest
from PIL import Image

from jnas import data
from jnas.data import checks


def write_npz(folder) -> str:
  rng = np.random.default_rng(0)
  np.savez(
    folder / "set.npz",
    train_images=rng.integers(0, 256, (20, 6, 5, 3), np.uint8),
    train_labels=np.arange(20) % 4,
    test_images=rng.integers(0, 256, (8, 6, 5, 3), np.uint8),
    test_labels=np.arange(8) % 4,
  )
  return f"npz:{folder}/set.npz"


def write_folder(folder) -> str:
  rng = np.random.default_rng(0)
  for split, count in (("train", 5), ("test", 2)):
    for name in "abcd":
      parent = folder / split / name
      parent.mkdir(parents=True)
      for index in range(count):
        image = rng.integers(0, 256, (6, 5, 3), np.uint8)
        Image.fromarray(image).save(parent / f"{index}.png")
  return f"folder:{folder}"


# Sources that need an argument; the others are their own name.
EXAMPLES = {"npz": write_npz, "folder": write_folder}
# Read what TFDS prepared, which no test can download; tfds_test.py has those.
PREPARED = ("cifar10", "cifar100", "svhn", "imagenet2012", "tfds")


@pytest.fixture(params=[name for name in data.DATASETS if name not in PREPARED])
def source(request, tmp_path) -> str:
  make = EXAMPLES.get(request.param, lambda folder: request.param)
  return make(tmp_path)


def test_a_dataset_passes_the_checks(source):
  dataset = data.load(source)
  assert checks.validate(dataset) is dataset
  assert dataset.name == source
  assert set(dataset.train.labels) == set(range(dataset.num_classes))
  assert dataset.train.images.flags.c_contiguous


def test_the_description_is_that_of_what_is_loaded(source):
  for options in ({}, {"limit": 8, "test_limit": 4, "image_size": 4}):
    assert data.describe(source, **options) == data.load(source, **options).info


def test_loading_twice_gives_the_same(source):
  first, second = data.load(source), data.load(source)
  np.testing.assert_array_equal(first.train.images, second.train.images)
  np.testing.assert_array_equal(first.test.images, second.test.images)
  np.testing.assert_array_equal(first.train.labels, second.train.labels)


def test_limited_images_are_balanced_and_among_the_first(source):
  whole = data.load(source)
  num_classes = whole.num_classes
  head = data.load(source, limit=2 * num_classes, test_limit=num_classes)
  assert set(np.bincount(head.train.labels)) == {2}
  assert set(np.bincount(head.test.labels)) == {1}
  everything = {image.tobytes() for image in whole.train.images}
  assert all(image.tobytes() in everything for image in head.train.images)


def test_statistics_are_fitted_to_the_training_images_in_use(source):
  dataset = data.load(source, limit=8)
  scaled = dataset.train.images / 255
  np.testing.assert_allclose(dataset.mean, scaled.mean((0, 1, 2)), rtol=1e-9)
  np.testing.assert_allclose(dataset.std, scaled.std((0, 1, 2)), rtol=1e-9)


def test_a_limit_out_of_range_is_one_line(source):
  available = data.describe(source).num_train
  for call in (data.load, data.describe):
    with pytest.raises(ValueError, match=f"give 1 to {available}") as caught:
      call(source, limit=available + 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", data.DATASETS)
def test_a_nonsensical_argument_is_one_line(name):
  with pytest.raises((ValueError, FileNotFoundError)) as caught:
    data.load(f"{name}:/no/such/thing")
  assert "\n" not in str(caught.value)
