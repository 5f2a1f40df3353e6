import io
import pathlib
import zipfile

import numpy as np
import pytest

from jnas import data

NUM_TRAIN, NUM_TEST = 12, 6


def arrays(**changes) -> dict[str, np.ndarray]:
  """A sound archive of three classes, with changes; None leaves a key out."""
  rng = np.random.default_rng(0)
  sound = {
    "train_images": rng.integers(0, 256, (NUM_TRAIN, 5, 4, 3), np.uint8),
    "train_labels": np.arange(NUM_TRAIN) % 3,
    "test_images": rng.integers(0, 256, (NUM_TEST, 5, 4, 3), np.uint8),
    "test_labels": np.arange(NUM_TEST) % 3,
    "class_names": np.array(["ant", "bee", "cat"]),
  }
  changed = {**sound, **changes}
  return {key: value for key, value in changed.items() if value is not None}


def save(folder: pathlib.Path, **changes) -> str:
  """Writes the archive and returns its source."""
  path = folder / "set.npz"
  np.savez_compressed(path, **arrays(**changes))
  return f"npz:{path}"


def refusal(source: str, call=data.load, error=ValueError, **options) -> str:
  """The one line with which a source is refused."""
  with pytest.raises(error) as caught:
    call(source, **options)
  text = str(caught.value)
  assert "\n" not in text and "set.npz" in text
  return text


def test_a_sound_archive_is_loaded_as_it_is(tmp_path):
  wanted = arrays()
  dataset = data.load(save(tmp_path))
  np.testing.assert_array_equal(dataset.train.images, wanted["train_images"])
  np.testing.assert_array_equal(dataset.train.labels, wanted["train_labels"])
  np.testing.assert_array_equal(dataset.test.images, wanted["test_images"])
  np.testing.assert_array_equal(dataset.test.labels, wanted["test_labels"])
  assert dataset.train.labels.dtype == np.int32
  assert dataset.class_names == ("ant", "bee", "cat")
  assert dataset.image_shape == (5, 4, 3)
  assert dataset.valid is None


def test_statistics_are_those_of_the_training_images_alone(tmp_path):
  # Channel values 0 and 255 in equal number: mean 0.5, deviation 0.5; the
  # second channel is 51 everywhere: mean 0.2, deviation given as 1.
  train = np.zeros((2, 2, 2, 2), np.uint8)
  train[1, ..., 0], train[..., 1] = 255, 51
  source = save(
    tmp_path,
    train_images=train,
    train_labels=np.array([0, 1]),
    test_images=np.full((3, 2, 2, 2), 77, np.uint8),
    test_labels=np.array([0, 1, 0]),
    class_names=None,
  )
  dataset = data.load(source)
  np.testing.assert_allclose(dataset.mean, [0.5, 0.2], rtol=1e-12)
  np.testing.assert_allclose(dataset.std, [0.5, 1.0], rtol=1e-12)


def test_grey_images_may_lack_the_channel_axis(tmp_path):
  wanted = arrays()
  source = save(
    tmp_path,
    train_images=wanted["train_images"][..., 0],
    test_images=wanted["test_images"][..., :1],
  )
  dataset = data.load(source)
  assert dataset.image_shape == (5, 4, 1)
  assert data.describe(source) == dataset.info


def test_a_fixed_validation_split_is_kept(tmp_path):
  valid = arrays()["test_images"][:3]
  source = save(
    tmp_path, valid_images=valid, valid_labels=np.array([2, 1, 0], np.uint8)
  )
  dataset = data.load(source)
  assert dataset.valid is not None
  np.testing.assert_array_equal(dataset.valid.images, valid)
  np.testing.assert_array_equal(dataset.valid.labels, [2, 1, 0])
  assert data.describe(source).num_valid == 3


@pytest.mark.parametrize("names", [None, np.array([b"a", b"b", b"c"])])
def test_class_names_may_be_missing_or_bytes(tmp_path, names):
  dataset = data.load(save(tmp_path, class_names=names))
  assert dataset.class_names == (
    ("0", "1", "2") if names is None else tuple("abc")
  )


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64, ">i4"])
def test_labels_may_be_of_any_whole_type(tmp_path, dtype):
  labels = arrays()["train_labels"].astype(dtype)
  dataset = data.load(save(tmp_path, train_labels=labels))
  np.testing.assert_array_equal(dataset.train.labels, np.arange(NUM_TRAIN) % 3)


def test_other_keys_are_left_alone(tmp_path):
  odd = np.array([{"pickled": 1}], dtype=object)
  assert len(data.load(save(tmp_path, notes=odd)).train) == NUM_TRAIN


def test_describe_agrees_with_load(tmp_path):
  source = save(tmp_path)
  for options in ({}, {"limit": 5, "test_limit": 2, "image_size": 3}):
    described = data.describe(source, **options)
    assert described == data.load(source, **options).info


def test_describe_reads_no_images(tmp_path, monkeypatch):
  source = save(tmp_path)

  def refuse(*args, **kwargs):
    raise AssertionError("read the images")

  monkeypatch.setattr(np.lib.format, "read_array", refuse)
  monkeypatch.setattr(
    "jnas.data.npz._class_names", lambda *args: ("a", "b", "c")
  )
  assert data.describe(source).num_train == NUM_TRAIN


def test_cifar10_is_described_from_its_headers(shared):
  info = data.describe(f"npz:{shared}/data/cifar10.npz")
  assert (info.num_train, info.num_test) == (50_000, 10_000)
  assert info.image_shape == (32, 32, 3)
  assert info.num_classes == 10


def test_the_small_cifar100_is_loaded_with_its_own_statistics(shared):
  source = f"npz:{shared}/data/cifar100_small.npz"
  dataset = data.load(source, limit=500)
  assert np.all(np.bincount(dataset.train.labels) == 5)
  assert dataset.class_names[:2] == ("apple", "aquarium_fish")
  scaled = dataset.train.images.astype(np.float64) / 255
  np.testing.assert_allclose(dataset.mean, scaled.mean((0, 1, 2)), rtol=1e-9)
  np.testing.assert_allclose(dataset.std, scaled.std((0, 1, 2)), rtol=1e-9)
  with np.load(shared / "data" / "cifar100_small.npz") as stored:
    head = stored["train_images"][:500]
  np.testing.assert_array_equal(dataset.train.images, head)


CALLS = pytest.mark.parametrize("call", [data.load, data.describe])


@CALLS
def test_a_missing_file_is_named(tmp_path, call):
  source = f"npz:{tmp_path}/other/set.npz"
  assert "does not exist" in refusal(source, call, FileNotFoundError)


@CALLS
def test_a_folder_is_not_an_archive(tmp_path, call):
  (tmp_path / "set.npz").mkdir()
  text = refusal(f"npz:{tmp_path}/set.npz", call, FileNotFoundError)
  assert "is a folder" in text


@CALLS
@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00"])
def test_what_is_no_archive_is_refused(tmp_path, call, content):
  (tmp_path / "set.npz").write_bytes(content)
  text = refusal(f"npz:{tmp_path}/set.npz", call)
  assert "damaged or not an npz archive" in text


@CALLS
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_archive_is_refused(tmp_path, call, share):
  source = save(tmp_path)
  path = tmp_path / "set.npz"
  path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
  assert "damaged" in refusal(source, call)


def test_a_flipped_byte_in_the_images_is_found_by_the_checksum(tmp_path):
  np.savez(tmp_path / "set.npz", **arrays())  # Stored, so it still unpacks.
  content = bytearray((tmp_path / "set.npz").read_bytes())
  place = content.index(arrays()["train_images"].tobytes()) + 100
  content[place] ^= 1
  (tmp_path / "set.npz").write_bytes(content)
  text = refusal(f"npz:{tmp_path}/set.npz")
  assert "Bad CRC-32" in text and "train_images" in text


def test_any_flipped_byte_gives_the_same_data_or_one_line(tmp_path):
  source = save(tmp_path)
  path = tmp_path / "set.npz"
  sound, wanted = path.read_bytes(), data.load(source)
  rng = np.random.default_rng(0)
  refused = 0
  for _ in range(300):
    content = bytearray(sound)
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)
    try:
      dataset = data.load(source)
    except ValueError as error:
      assert "\n" not in str(error)
      refused += 1
      continue
    np.testing.assert_array_equal(dataset.train.images, wanted.train.images)
    np.testing.assert_array_equal(dataset.test.labels, wanted.test.labels)
  assert refused > 200


def test_a_header_that_promises_more_than_is_stored_is_refused(tmp_path):
  header = io.BytesIO()
  np.lib.format.write_array_header_1_0(
    header,
    {"descr": "|u1", "fortran_order": False, "shape": (10**9, 32, 32, 3)},
  )
  path = tmp_path / "set.npz"
  np.savez(path, **arrays(train_images=None))
  with zipfile.ZipFile(path, "a") as archive:
    archive.writestr("train_images.npy", header.getvalue() + b"few")
  text = refusal(f"npz:{path}", data.describe)
  assert "3 bytes are stored" in text


@CALLS
def test_pickled_objects_are_never_loaded(tmp_path, call):
  objects = np.array([{"a": 1}] * NUM_TRAIN, dtype=object)
  text = refusal(save(tmp_path, train_labels=objects), call)
  assert "train_labels holds pickled Python objects" in text


@CALLS
def test_missing_keys_are_listed_with_those_found(tmp_path, call):
  wanted = arrays()
  source = save(tmp_path, test_images=None, test_image=wanted["test_images"])
  text = refusal(source, call)
  assert "lacks test_images;" in text
  assert "it holds class_names, test_image, test_labels, train_images" in text


@CALLS
def test_a_validation_split_needs_both_its_keys(tmp_path, call):
  source = save(tmp_path, valid_labels=np.array([0, 1]))
  assert "lacks valid_images" in refusal(source, call)


BAD_ARRAYS = {
  "float images": (
    {"train_images": np.zeros((NUM_TRAIN, 5, 4, 3), np.float32)},
    "train_images are float32; wanted uint8, 0 to 255; multiply",
  ),
  "wide images": (
    {"test_images": np.zeros((NUM_TEST, 5, 4, 3), np.int64)},
    "test_images are int64; wanted uint8",
  ),
  "flat images": (
    {"train_images": np.zeros((NUM_TRAIN, 60), np.uint8)},
    "train_images have the shape (12, 60); wanted [N, height, width",
  ),
  "channels first": (
    {"train_images": np.zeros((NUM_TRAIN, 3, 32, 32), np.uint8)},
    "(12, 3, 32, 32), channels first",
  ),
  "no images": (
    {
      "train_images": np.zeros((0, 5, 4, 3), np.uint8),
      "train_labels": np.zeros(0, np.int32),
    },
    "train_images are empty",
  ),
  "other shape in test": (
    {"test_images": np.zeros((NUM_TEST, 4, 4, 3), np.uint8)},
    "those of train (5, 4, 3)",
  ),
  "float labels": (
    {"train_labels": np.zeros(NUM_TRAIN)},
    "train_labels are float64; wanted whole numbers",
  ),
  "truth values as labels": (
    {"train_labels": np.zeros(NUM_TRAIN, bool)},
    "train_labels are bool; wanted whole numbers",
  ),
  "labels in a column": (
    {"train_labels": np.zeros((NUM_TRAIN, 1), np.int32)},
    "train_labels have the shape (12, 1); wanted [N]",
  ),
  "too few labels": (
    {"test_labels": np.zeros(NUM_TEST - 1, np.int32)},
    "test_labels: 5 labels for 6 images",
  ),
  "class names that are numbers": (
    {"class_names": np.arange(3)},
    "class_names are int64 of shape (3,); wanted one string",
  ),
}


@CALLS
@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_are_not_as_wanted_are_refused(tmp_path, call, case):
  changes, expected = BAD_ARRAYS[case]
  assert expected in refusal(save(tmp_path, **changes), call)


BAD_VALUES = {
  "label above": (
    {"test_labels": np.array([0, 1, 2, 3, 0, 1])},
    "test_labels hold 3; with 3 classes they must be 0 to 2",
  ),
  "label below": (
    {"train_labels": np.arange(NUM_TRAIN) % 3 - 1},
    "train_labels hold -1; with 3 classes they must be 0 to 2",
  ),
  "label past 32 bits": (
    {"train_labels": np.full(NUM_TRAIN, 2**32)},
    "train_labels hold 4294967296",
  ),
  "repeated class names": (
    {"class_names": np.array(["a", "b", "a"])},
    "class names repeat",
  ),
  "one class": (
    {
      "class_names": None,
      "train_labels": np.zeros(NUM_TRAIN, np.int32),
      "test_labels": np.zeros(NUM_TEST, np.int32),
    },
    "found 1 classes; wanted 2 or more",
  ),
  "labels from 1 and no names": (
    {"class_names": None, "train_labels": np.arange(NUM_TRAIN) % 3 + 1},
    "train_labels hold 3 different numbers from 1 to 3",
  ),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_values_that_are_not_as_wanted_are_refused(tmp_path, case):
  changes, expected = BAD_VALUES[case]
  assert expected in refusal(save(tmp_path, **changes))


@CALLS
@pytest.mark.parametrize(
  ("options", "expected"),
  [
    ({"limit": 13}, "limit is 13; 12 images are there: give 1 to 12"),
    ({"limit": 0}, "limit is 0; 12 images are there"),
    ({"limit": -5}, "limit is -5"),
    ({"test_limit": 7}, "test limit is 7; 6 images are there"),
  ],
)
def test_limits_out_of_range_are_refused(tmp_path, call, options, expected):
  assert expected in refusal(save(tmp_path), call, **options)
