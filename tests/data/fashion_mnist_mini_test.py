import gzip
import hashlib
import pathlib

import numpy as np
import pytest

import jnas.data as data_package
from jnas import data

PACKAGE = pathlib.Path(data_package.__file__).parent
ORIGIN = pathlib.Path("/usr/share/datasets/fashion-mnist")


def read_idx(name: str, header: int) -> np.ndarray:
  """The bytes behind the header of a gzipped IDX file."""
  with gzip.open(ORIGIN / name) as file:
    return np.frombuffer(file.read(), np.uint8, offset=header)


@pytest.mark.skipif(
  not ORIGIN.is_dir(), reason="needs Debian's dataset-fashion-mnist"
)
@pytest.mark.parametrize(
  ("split", "prefix", "per_class"),
  [("train", "train", 400), ("test", "t10k", 100)],
)
def test_the_archive_is_made_as_its_notice_says(split, prefix, per_class):
  images = read_idx(f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
  labels = read_idx(f"{prefix}-labels-idx1-ubyte.gz", 8)
  firsts = [np.flatnonzero(labels == label)[:per_class] for label in range(10)]
  index = np.stack(firsts, axis=1).ravel()
  with np.load(PACKAGE / "fashion_mnist_mini.npz") as stored:
    np.testing.assert_array_equal(stored[f"{split}_images"], images[index])
    np.testing.assert_array_equal(stored[f"{split}_labels"], labels[index])


def test_the_notice_has_the_licence_and_the_checksum_of_the_archive():
  notice = (PACKAGE / "fashion_mnist_mini.txt").read_text()
  archive = (PACKAGE / "fashion_mnist_mini.npz").read_bytes()
  assert hashlib.sha256(archive).hexdigest() in notice
  assert "Copyright (c) 2017 Zalando SE" in notice
  assert "The above copyright notice and this permission notice" in notice


def test_images_are_grey_padded_with_black_and_balanced():
  dataset = data.load("fashion_mnist_mini")
  assert dataset.train.images.shape == (4000, 32, 32, 1)
  assert dataset.test.images.shape == (1000, 32, 32, 1)
  np.testing.assert_array_equal(np.bincount(dataset.train.labels), [400] * 10)
  np.testing.assert_array_equal(np.bincount(dataset.test.labels), [100] * 10)
  border = dataset.train.images.copy()
  border[:, 2:30, 2:30] = 0
  assert not border.any()
  with np.load(PACKAGE / "fashion_mnist_mini.npz") as stored:
    np.testing.assert_array_equal(
      dataset.train.images[:, 2:30, 2:30, 0], stored["train_images"]
    )
  assert dataset.class_names[0] == "T-shirt/top"
  assert dataset.class_names[9] == "Ankle boot"


def test_no_image_is_in_both_splits():
  dataset = data.load("fashion_mnist_mini")
  train = {image.tobytes() for image in dataset.train.images}
  assert len(train) == 4000
  assert not any(image.tobytes() in train for image in dataset.test.images)
