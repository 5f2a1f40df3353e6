"""Masks of sets prepared by TensorFlow Datasets, prepared here without it."""

import io

import numpy as np
import pytest
from PIL import Image

from jnas.data import masked, segmentation, tfds_masks
from tests.data import scenes

ALL = segmentation.Options("train", None, None)
VIEW = masked.View(32, 64, 0.5, 2.0, True, ())


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """A folder with two small prepared sets, one of them without masks."""
  pytest.importorskip("array_record")
  tfds = pytest.importorskip("tensorflow_datasets")

  def png(array: np.ndarray) -> io.BytesIO:
    content = io.BytesIO()
    Image.fromarray(array).save(content, "PNG")
    content.seek(0)
    return content

  class Dressed(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    __module__ = "tfds_masks_test"  # TFDS looks for files beside a package's.
    name = "dressed"
    VERSION = tfds.core.Version("1.0.0")
    MASK = "segmentation_mask"
    CLASSES = 4

    def _info(self):
      features = {
        "image": tfds.features.Image(
          shape=(None, None, 3), encoding_format="png"
        ),
        self.MASK: tfds.features.Image(
          shape=(None, None, 1), encoding_format="png"
        ),
      }
      return tfds.core.DatasetInfo(
        builder=self, features=tfds.features.FeaturesDict(features)
      )

    def _split_generators(self, dl_manager):
      return {
        "train": self._generate_examples("train", 6),
        "test": self._generate_examples("test", 3),
      }

    def _generate_examples(self, split, number):
      pairs = zip(*scenes.make(number, split=split), strict=True)
      for index, (image, mask) in enumerate(pairs):
        mask = np.where(mask == 255, mask, np.minimum(mask, self.CLASSES - 1))
        yield index, {"image": png(image), self.MASK: png(mask)}

  class Depths(Dressed, skip_registration=True):
    __module__ = Dressed.__module__
    name = "depths"
    MASK = "depth"

  class Plain(Dressed, skip_registration=True):
    __module__ = Dressed.__module__
    name = Dressed.name
    CLASSES = 2

  folder = tmp_path_factory.mktemp("tfds")
  Plain(
    data_dir=folder / "other", file_format="array_record"
  ).download_and_prepare()
  for builder in (Dressed, Depths):
    builder(data_dir=folder, file_format="array_record").download_and_prepare()
  return folder


@pytest.fixture
def prepared(data_dir, monkeypatch):
  """The sets are found by their names."""
  import tensorflow_datasets as tfds

  builder = tfds.builder
  monkeypatch.setattr(
    tfds, "builder", lambda name: builder(name, data_dir=data_dir)
  )
  return lambda folder: monkeypatch.setattr(
    tfds, "builder", lambda name: builder(name, data_dir=data_dir / folder)
  )


def test_masks_are_those_that_were_prepared(prepared):
  info = segmentation.describe("tfds:dressed", ALL)
  assert (info.num_train, info.num_test, info.num_classes) == (6, 3, 4)
  dataset = segmentation.load("tfds:dressed", ALL, VIEW)
  assert dataset.class_names == ("0", "1", "2", "3")
  # TFDS stores the examples in an order of its own.
  wanted = {
    image.tobytes(): mask.tobytes()
    for image, mask in zip(*scenes.make(3, split="test"), strict=True)
  }
  pairs = [dataset.test.example(at, None) for at in range(3)]
  assert {i.tobytes(): m.tobytes() for i, m in pairs} == wanted
  some = segmentation.load("tfds:dressed", ALL._replace(limit=4), VIEW)
  assert len(some.train) == 4


def test_classes_are_counted_in_all_training_masks_of_that_folder(prepared):
  for limit in (1, 2, None):
    info = segmentation.describe("tfds:dressed", ALL._replace(limit=limit))
    assert info.num_classes == 4
  prepared("other")
  assert segmentation.describe("tfds:dressed", ALL).num_classes == 2


def encoded(array, kind, share=1.0):
  """A file's bytes, or the first share of them."""
  content = io.BytesIO()
  Image.fromarray(array).save(content, kind)
  return content.getvalue()[: int(len(content.getvalue()) * share)]


@pytest.mark.parametrize(
  ("content", "reason"),
  [
    (b"nothing", "of no format that Pillow knows"),
    (
      encoded(scenes.make(1)[0][0], "JPEG", share=0.7),
      "image file is truncated",
    ),
  ],
)
def test_a_damaged_image_is_one_line_that_names_the_example(content, reason):
  mask = encoded(np.zeros((64, 64), np.uint8), "PNG")
  examples = tfds_masks.Examples(
    [{"image": content, "segmentation_mask": mask}],
    *("segmentation_mask", 1, "tfds:pets: train", "pets"),
  )
  assert examples.mask(0).shape == (64, 64)
  for use in (examples.size, examples.read):
    with pytest.raises(ValueError) as caught:
      use(0)
    said = "tfds:pets: train example 0: its image is damaged or unreadable: "
    assert str(caught.value).startswith(said + reason)
    assert "BytesIO" not in str(caught.value)


def test_a_set_without_masks_or_with_images_too_large_is_one_line(prepared):
  with pytest.raises(ValueError, match="features depth, image; wanted image a"):
    segmentation.describe("tfds:depths", ALL)
  with pytest.raises(ValueError, match="eval_size is 32; it must be 64 or mor"):
    segmentation.load("tfds:dressed", ALL, VIEW._replace(whole=32))
