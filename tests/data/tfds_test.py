"""Sets prepared by TensorFlow Datasets, prepared here without TensorFlow."""

import dataclasses
import io
import pathlib
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from jnas import data
from jnas.data import streamed, streaming
from jnas.data import tfds as tfds_source

NAMES = ("dark", "light")


def pixels(split: str, index: int) -> np.ndarray:
  """The image of one example; unlike every other."""
  shape = (5 + index % 2, 6, 3) if split == "uneven" else (5, 6, 3)
  image = np.full(shape, index, np.uint8)
  image[0, 0] = (1, 2, 3) if split == "train" else (4, 5, 6)
  return image


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """A folder with small prepared sets."""
  pytest.importorskip("array_record")
  tfds = pytest.importorskip("tensorflow_datasets")

  class Pictures(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    __module__ = "tfds_test"  # TFDS looks for files beside a package's module.
    VERSION = tfds.core.Version("1.0.0")
    SPLITS = {"train": 12, "test": 6}
    SHAPE = (5, 6, 3)

    def _info(self):
      features = {
        "image": tfds.features.Image(shape=self.SHAPE, encoding_format="png"),
        "label": tfds.features.ClassLabel(names=NAMES),
      }
      return tfds.core.DatasetInfo(
        builder=self, features=tfds.features.FeaturesDict(features)
      )

    def _split_generators(self, dl_manager):
      return {split: self._generate_examples(split) for split in self.SPLITS}

    def _generate_examples(self, split):
      for index in range(self.SPLITS[split]):
        png = io.BytesIO()
        name = "uneven" if self.SHAPE[0] is None else split
        Image.fromarray(pixels(name, index)).save(png, "PNG")
        png.seek(0)
        yield index, {"image": png, "label": index % 2}

  class Even(Pictures, skip_registration=True):
    __module__ = Pictures.__module__
    name = "even"

  class Validated(Pictures, skip_registration=True):
    __module__ = Pictures.__module__
    name = "validated"
    SPLITS = {"train": 4, "test": 4, "validation": 2}

  class Uneven(Pictures, skip_registration=True):
    __module__ = Pictures.__module__
    name = "uneven"
    SHAPE = (None, 6, 3)
    SPLITS = {"train": 4, "validation": 2}

  class Untested(Pictures, skip_registration=True):
    __module__ = Pictures.__module__
    name = "untested"
    SPLITS = {"train": 4}

  folder = tmp_path_factory.mktemp("tfds")
  for builder in (Even, Validated, Uneven, Untested):
    builder(data_dir=folder, file_format="array_record").download_and_prepare()
  return folder


@pytest.fixture
def prepared(data_dir, monkeypatch):
  """Makes TFDS look for prepared sets in that folder."""
  import tensorflow_datasets as tfds

  builder = tfds.builder
  monkeypatch.setattr(
    tfds, "builder", lambda name: builder(name, data_dir=data_dir)
  )


def refusal(source: str, call=data.load, error=ValueError, **options) -> str:
  with pytest.raises(error) as caught:
    call(source, **options)
  assert "\n" not in str(caught.value)
  return str(caught.value)


def test_a_prepared_set_is_read_without_tensorflow(prepared):
  dataset = data.load("tfds:even")
  assert dataset.class_names == NAMES
  assert (len(dataset.train), len(dataset.test)) == (12, 6)
  found = {image.tobytes() for image in dataset.train.images}
  assert found == {pixels("train", index).tobytes() for index in range(12)}
  for image, label in zip(
    dataset.test.images, dataset.test.labels, strict=True
  ):
    assert image[0, 0].tolist() == [4, 5, 6]
    assert image[1, 1, 0] % 2 == label
  assert data.describe("tfds:even") == dataset.info
  assert "tensorflow" not in sys.modules


def test_limits_and_size_are_applied(prepared):
  options = {"limit": 4, "test_limit": 2, "image_size": 3}
  dataset = data.load("tfds:even", **options)
  np.testing.assert_array_equal(np.bincount(dataset.train.labels), [2, 2])
  assert dataset.train.images.shape == (4, 3, 3, 3)
  assert data.describe("tfds:even", **options) == dataset.info
  assert "limit is 13; 12 images" in refusal("tfds:even", limit=13)


def test_validation_is_kept_beside_test_and_stands_for_it_without(prepared):
  dataset = data.load("tfds:validated")
  assert dataset.valid is not None and len(dataset.valid) == 2
  dataset = data.load("tfds:uneven", image_size=4)
  assert len(dataset.test) == 2 and dataset.valid is None


def test_images_of_different_sizes_need_an_image_size(prepared):
  for call in (data.load, data.describe):
    assert "different sizes" in refusal("tfds:uneven", call)


def test_a_set_without_a_test_split_is_refused(prepared):
  assert "has the splits train; wanted" in refusal("tfds:untested")


def test_a_set_that_is_not_prepared_says_how_to_prepare_it(prepared):
  text = refusal("cifar10", error=FileNotFoundError)
  assert "cifar10 is not prepared in " in text
  assert "pip install 'jnas[prepare]'" in text
  assert "tfds build cifar10 --file_format=array_record" in text
  assert "npz:PATH" in text


@pytest.mark.parametrize("name", ["no_such_set", "a b", "cifar10:9.9.9"])
def test_a_name_that_tfds_does_not_know_is_refused(prepared, name):
  assert f"TFDS cannot open {name!r}: " in refusal(f"tfds:{name}")


def test_a_known_set_has_the_constants_of_the_papers(prepared, monkeypatch):
  published = tfds_source.PUBLISHED["cifar10"]._replace(tfds_name="even")
  monkeypatch.setitem(tfds_source.PUBLISHED, "cifar10", published)
  dataset = data.load("cifar10")
  assert dataset.name == "cifar10"
  assert dataset.mean == (0.49139968, 0.48215827, 0.44653124)
  assert dataset.std == (0.24703233, 0.24348505, 0.26158768)
  # Planned by what is here, which may be fewer images than were published.
  info = data.describe("cifar10")
  assert (info.name, info.num_train, info.num_test) == (
    "cifar10",
    len(dataset.train),
    len(dataset.test),
  )


@pytest.mark.parametrize("module", ["array_record", "tensorflow_datasets"])
@pytest.mark.parametrize("source", ["cifar10", "tfds:even"])
def test_without_the_packages_the_line_says_what_to_install(
  monkeypatch, module, source
):
  monkeypatch.setitem(sys.modules, module, None)
  text = refusal(source)
  assert "pip install 'jnas[prepare]'" in text and "npz:PATH" in text


@pytest.fixture
def damaged(data_dir, monkeypatch, tmp_path):
  """Damages the first training file of a copy of a prepared set."""
  import tensorflow_datasets as tfds

  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  shutil.copytree(data_dir, tmp_path / "sets")
  builder = tfds.builder
  monkeypatch.setattr(
    tfds, "builder", lambda name: builder(name, data_dir=tmp_path / "sets")
  )
  (path,) = (tmp_path / "sets" / "even").rglob("*train*")

  def damage(how: str) -> pathlib.Path:
    content = bytearray(path.read_bytes())
    if how == "gone":
      path.unlink()
    elif how != "none":
      content[len(content) // 2] ^= 16
      path.write_bytes(
        {"empty": b"", "cut": content[:99], "flip": content}[how]
      )
    return path

  return damage


@pytest.mark.parametrize(
  ("how", "what"), [("gone", "does not exist"), ("empty", "is empty")]
)
@pytest.mark.parametrize("call", [data.load, data.describe])
def test_a_set_that_has_lost_a_file_is_refused(damaged, how, what, call):
  path = damaged(how)
  text = refusal("tfds:even", call, FileNotFoundError)
  assert text == (
    "tfds:even: 1 of 2 prepared files are lost: "
    f"{path} {what}; copy it again, or prepare the set anew"
  )


@pytest.mark.parametrize("how", ["cut", "flip"])
def test_a_damaged_file_names_the_example(damaged, how):
  damaged(how)
  text = refusal("tfds:even", error=OSError)
  assert text.startswith("tfds:even: train example 0: ")
  stream = streaming.Stream(mode="on")
  options = {"image_size": 4, "stream": stream}
  text = refusal("tfds:even", error=OSError, **options)
  assert text.startswith("tfds:even: train example 0: ")


def test_a_file_lost_while_a_run_reads_it_counts_as_unreadable_images(
  damaged,
):
  damaged("none")
  told: list[str] = []
  stream = streaming.Stream(mode="on", max_unreadable=3, tell=told.append)
  train = data.load("tfds:even", image_size=4, stream=stream).train
  # Its labels are noted by now, so no file is opened yet.
  read = tfds_source.open_stored("even").splits["train"].read
  train = dataclasses.replace(train, read=read)
  damaged("gone")
  with pytest.raises(streamed.UnreadableError) as caught:
    train.example(0, None)
  assert len(told) == 3
  text = str(caught.value)
  assert text.startswith(
    "4 images cannot be read, and data.max_unreadable is 3"
  )
  assert "\n" not in text and "open() failed" in text


def test_a_streamed_set_gives_the_images_and_labels_of_the_set_in_memory(
  prepared, monkeypatch, tmp_path
):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  options = {"limit": 6, "image_size": 4}
  resident = data.load("tfds:validated", limit=4, image_size=4)
  stream = streaming.Stream(mode="on")
  for _ in range(2):  # the second time with the labels noted
    stored = data.load("tfds:validated", limit=4, image_size=4, stream=stream)
    for split in ("train", "test", "valid"):
      got, wanted = getattr(stored, split), getattr(resident, split)
      np.testing.assert_array_equal(got.labels, wanted.labels)
      np.testing.assert_array_equal(got.head(len(got)), wanted.images)
  assert len(list(tmp_path.rglob("*.npy"))) == 3
  described = data.describe("tfds:even", stream=stream, **options)
  assert described == data.load("tfds:even", stream=stream, **options).info


def test_imagenet_is_planned_without_its_images():
  stream = streaming.Stream(mode="auto", crop_scale=0.08)
  info = data.describe("imagenet2012", image_size=224, stream=stream)
  assert (info.num_train, info.num_test) == (1_281_167, 50_000)
  assert info.image_shape == (224, 224, 3) and info.streamed
  with pytest.raises(ValueError, match="set data.image_size"):
    data.describe("imagenet2012")
