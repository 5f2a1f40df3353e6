"""Sources by name, and functions of the user's own."""

import numpy as np
import pytest

from jnas import data

OWN = '''
"""A user's own dataset."""

import numpy as np

from jnas.data import base

CALLS = []


def load(argument):
  labels = np.arange(12, dtype=np.int32) % 3
  images = np.repeat(labels.astype(np.uint8), 16).reshape(12, 4, 4, 1)
  split = base.Split(images, labels)
  return base.Dataset(
      name=f"own {argument}",
      train=split,
      test=split,
      class_names=("a", "b", "c"),
      mean=(0.0,),
      std=(1.0,),
      valid=split,
  )


def load_less(argument, *, limit):
  CALLS.append({"limit": limit})
  return load(argument)


def load_options(argument, **options):
  CALLS.append(options)
  return load(argument)


def load_wrongly(argument):
  return {"images": 1}


def load_floats(argument):
  import dataclasses

  dataset = load(argument)
  train = dataset.train
  floats = base.Split(train.images.astype(np.float32), train.labels)
  return dataclasses.replace(dataset, train=floats)


SOURCE = base.Source(
    lambda argument, **options: load(argument),
    lambda argument, **options: base.DatasetInfo("planned", 1, 2, (3, 4, 5), 6),
)
NOT_CALLABLE = 3
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
  """The name of a module of the user's own, new for each test."""
  name = f"own_{abs(hash(str(tmp_path)))}"
  (tmp_path / f"{name}.py").write_text(OWN)
  monkeypatch.syspath_prepend(tmp_path)
  return name


def refusal(source: str, call=data.load, **options) -> str:
  with pytest.raises(ValueError) as caught:
    call(source, **options)
  assert "\n" not in str(caught.value)
  return str(caught.value)


def test_a_function_of_the_users_own_is_a_source(own):
  dataset = data.load(f"{own}:load")
  assert dataset.name == "own " and dataset.num_classes == 3
  assert data.describe(f"{own}:load") == dataset.info


def test_text_after_the_second_colon_is_its_argument(own):
  assert data.load(f"{own}:load:some:thing").name == "own some:thing"


def test_options_are_applied_to_a_function_that_does_not_know_them(own):
  options = {"limit": 6, "test_limit": 3, "image_size": 2}
  dataset = data.load(f"{own}:load", **options)
  np.testing.assert_array_equal(dataset.train.labels, [0, 1, 2, 0, 1, 2])
  assert dataset.train.images.shape == (6, 2, 2, 1)
  assert dataset.test.images.shape == (3, 2, 2, 1)
  assert dataset.valid is not None
  assert dataset.valid.images.shape == (12, 2, 2, 1)
  assert data.describe(f"{own}:load", **options) == dataset.info


def test_a_function_is_given_the_options_it_takes(own):
  import importlib

  module = importlib.import_module(own)
  assert len(data.load(f"{own}:load_less", limit=6, image_size=2).train) == 6
  data.load(f"{own}:load_options", test_limit=3)
  assert module.CALLS == [
    {"limit": 6},
    {"limit": None, "test_limit": 3, "image_size": None},
  ]


def test_a_source_of_the_users_own_describes_without_loading(own):
  assert data.describe(f"{own}:SOURCE").name == "planned"


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    (
      "load_wrongly",
      "returned an object of type dict; wanted a jnas.data.base.Dataset",
    ),
    ("load_floats", "train images are float32; wanted uint8"),
    ("NOT_CALLABLE", "is of type int; wanted a function load(argument)"),
    ("laod", "has no 'laod'; did you mean 'load'?"),
  ],
)
def test_what_is_no_dataset_is_refused(own, name, expected):
  assert expected in refusal(f"{own}:{name}")


def test_a_limit_above_what_a_function_returns_is_refused(own):
  text = refusal(f"{own}:load", limit=13)
  assert "load: limit is 13; 12 images are there" in text


@pytest.mark.parametrize("call", [data.load, data.describe])
@pytest.mark.parametrize(
  ("source", "expected"),
  [
    ("fashion_mnist", "did you mean 'fashion_mnist_mini'?"),
    ("npx:/some/path.npz", "did you mean 'npz'?"),
    ("", "unknown dataset ''"),
    ("fashion_mnist_mini:x", "takes no argument; found 'x'"),
    ("cifar10:x", "takes no argument; found 'x'"),
    ("npz", "npz needs PATH: npz:PATH"),
    ("folder:", "folder needs PATH: folder:PATH"),
    ("tfds", "tfds needs NAME: tfds:NAME"),
    ("no_such_lab:load", "No module named 'no_such_lab'"),
  ],
)
def test_an_unknown_source_is_refused(call, source, expected):
  assert expected in refusal(source, call)


@pytest.mark.parametrize("call", [data.load, data.describe])
def test_an_image_size_below_1_is_refused(call):
  text = refusal("fashion_mnist_mini", call, image_size=0)
  assert "image size is 0" in text


def test_published_sizes_need_no_data():
  info = data.describe("cifar10")
  assert (info.num_train, info.num_test) == (50_000, 10_000)
  assert info.image_shape == (32, 32, 3) and info.num_classes == 10
  assert data.describe("cifar100").num_classes == 100
  svhn = data.describe("svhn", limit=1000, image_size=16)
  assert (svhn.num_train, svhn.num_test) == (1000, 26_032)
  assert svhn.image_shape == (16, 16, 3)
  assert "limit is 50001" in refusal("cifar10", data.describe, limit=50_001)
