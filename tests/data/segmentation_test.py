"""Images with masks in the folder layout of VOC and in archives."""

import shutil

import numpy as np
import pytest
from PIL import Image

from jnas.data import masked, segmentation, voc
from tests.data import scenes

ALL = segmentation.Options("train", None, None)
VIEW = masked.View(32, 64, 0.5, 2.0, True, ())


@pytest.fixture
def source(tmp_path) -> str:
  return scenes.write_voc(tmp_path / "voc", train=6, test=3)


@pytest.fixture(params=["voc", "npz"])
def either(request, tmp_path) -> str:
  if request.param == "voc":
    return scenes.write_voc(tmp_path / "voc", train=6, test=3)
  return scenes.write_npz(tmp_path / "set.npz", train=6, test=3)


def test_both_sources_hold_the_same_masks(either):
  info = segmentation.describe(either, ALL)
  assert (info.num_train, info.num_test, info.num_classes) == (6, 3, 4)
  assert info.image_shape[2] == 3
  dataset = segmentation.load(either, ALL, VIEW)
  assert dataset.name == info.name == either
  assert dataset.class_names == scenes.CLASSES
  images, masks = scenes.make(3, split="test")
  for at in range(3):
    image, mask = dataset.test.example(at, None)
    np.testing.assert_array_equal(mask, masks[at])
    assert np.abs(image.astype(int) - images[at]).mean() < 5  # JPEG's loss
  assert len(dataset.train) == 6
  assert dataset.train.image_shape == (32, 32, 3)


def test_limits_take_the_first(either):
  some = segmentation.Options("train", 2, 1)
  info = segmentation.describe(either, some)
  assert (info.num_train, info.num_test) == (2, 1)
  dataset = segmentation.load(either, some, VIEW)
  assert (len(dataset.train), len(dataset.test)) == (2, 1)
  with pytest.raises(ValueError, match="limit is 7; 6 images are there"):
    segmentation.describe(either, ALL._replace(limit=7))


def test_without_names_the_classes_are_those_of_voc(source):
  (voc_root(source) / "classes.txt").unlink()
  assert segmentation.describe(source, ALL).num_classes == 21
  assert len(voc.CLASSES) == 21 and voc.CLASSES[15] == "person"


def test_a_mark_that_an_editor_puts_first_is_no_part_of_a_name(source):
  lists = voc_root(source) / "ImageSets" / "Segmentation"
  for path in (lists / "val.txt", voc_root(source) / "classes.txt"):
    path.write_text(path.read_text(), encoding="utf-8-sig")
  dataset = segmentation.load(source, ALL, VIEW)
  assert len(dataset.test) == 3
  assert dataset.class_names == scenes.CLASSES


def voc_root(source):
  import pathlib

  return pathlib.Path(source.removeprefix("voc:"))


def cut_off(path):
  """Leaves two thirds of a file, its header among them."""
  content = path.read_bytes()
  path.write_bytes(content[: len(content) * 2 // 3])


def test_an_augmented_list_has_a_folder_of_masks_of_its_own(source):
  root = voc_root(source)
  lists = root / "ImageSets" / "Segmentation"
  names = (lists / "train.txt").read_text().split()
  (lists / "trainaug.txt").write_text("\n".join(names[:2]))
  extra = root / "SegmentationClassAug"
  extra.mkdir()
  Image.fromarray(np.full((64, 64), 3, np.uint8)).save(
    extra / f"{names[0]}.png"
  )
  dataset = segmentation.load(source, ALL._replace(train_list="trainaug"), VIEW)
  assert len(dataset.train) == 2
  assert (dataset.train.read(0)[1] == 3).all()
  _, mask = segmentation.load(source, ALL, VIEW).train.read(0)
  assert not (mask == 3).all()


@pytest.mark.parametrize(
  ("spoil", "said"),
  [
    (lambda r: shutil.rmtree(r / "JPEGImages"), "has no folder JPEGImages"),
    (
      lambda r: (r / "ImageSets/Segmentation/val.txt").unlink(),
      "has no list 'val' in ImageSets/Segmentation; it has train",
    ),
    (
      lambda r: (r / "ImageSets/Segmentation/val.txt").write_text("\n"),
      "is empty",
    ),
    (
      lambda r: (r / "ImageSets/Segmentation/val.txt").write_text(
        "test_0000\n", encoding="utf-16"
      ),
      "ImageSets/Segmentation/val.txt' is no UTF-8 text: invalid start byte",
    ),
    (
      lambda r: (r / "classes.txt").write_text("a\nb\n", encoding="utf-16"),
      "classes.txt' is no UTF-8 text: invalid start byte at byte 0",
    ),
    (
      lambda r: (r / "JPEGImages/train_0001.jpg").unlink(),
      "train.txt names 'train_0001', but there is no",
    ),
    (
      lambda r: (r / "SegmentationClass/test_0001.png").unlink(),
      "val.txt names 'test_0001', but there is no",
    ),
    (
      lambda r: (r / "SegmentationClass/test_0001.png").write_bytes(b"x"),
      "test_0001.png' is damaged or unreadable",
    ),
    (
      lambda r: cut_off(r / "JPEGImages/train_0003.jpg"),
      "JPEGImages/train_0003.jpg' is damaged or unreadable: image file is trun",
    ),
    (
      lambda r: cut_off(r / "JPEGImages/test_0002.jpg"),
      "JPEGImages/test_0002.jpg' is damaged or unreadable: image file is trunc",
    ),
    (
      lambda r: Image.new("RGB", (64, 64)).save(
        r / "SegmentationClass/test_0001.png"
      ),
      "its mode is RGB, not a palette's",
    ),
    (
      lambda r: Image.new("L", (60, 64)).save(
        r / "SegmentationClass/test_0001.png"
      ),
      "is 60x64, its image 64x64; they must have the same size",
    ),
    (
      lambda r: Image.new("L", (64, 64), 9).save(
        r / "SegmentationClass/train_0002.png"
      ),
      "holds the class 9; with 4 classes it must be 0 to 3, or 255",
    ),
    (
      lambda r: (r / "classes.txt").write_text("thing\n"),
      "classes.txt has 1 lines, 1 of them different; wanted 2 to 255",
    ),
  ],
)
def test_a_folder_that_is_not_as_it_must_be_is_one_line(source, spoil, said):
  spoil(voc_root(source))
  with pytest.raises((ValueError, FileNotFoundError)) as caught:
    segmentation.load(source, ALL, VIEW)
  assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_test_image_larger_than_the_square_is_refused(either):
  with pytest.raises(ValueError, match="eval_size is 32; it must be 64 or mo"):
    segmentation.load(either, ALL, VIEW._replace(whole=32))


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"test_masks": None}, "lacks test_masks; it holds class_names, "),
    (
      {"train_masks": np.zeros((6, 64, 64))},
      "train_masks are float64; wanted uint8",
    ),
    (
      {"train_masks": np.zeros((6, 64, 63), np.uint8)},
      r"the shape (6, 64, 63); wanted (6, 64, 64)",
    ),
    (
      {"test_masks": np.full((3, 64, 64), 4, np.uint8)},
      "test_masks holds the class 4; with 4 classes",
    ),
    (
      {"test_images": np.zeros((3, 64, 64), np.uint8)},
      "training images have 3 channels, test images 1",
    ),
  ],
)
def test_an_archive_that_is_not_as_it_must_be_is_one_line(
  tmp_path, changes, said
):
  source = scenes.write_npz(tmp_path / "set.npz", train=6, test=3, **changes)
  with pytest.raises(ValueError) as caught:
    segmentation.load(source, ALL, VIEW)
  assert said in str(caught.value) and "\n" not in str(caught.value)


def test_classes_of_an_archive_are_counted_where_they_have_no_names(tmp_path):
  source = scenes.write_npz(
    tmp_path / "set.npz", train=6, test=3, class_names=None
  )
  dataset = segmentation.load(source, ALL, VIEW)
  assert dataset.class_names == ("0", "1", "2", "3")


@pytest.mark.parametrize(
  ("source", "said"),
  [
    (
      "vox:/x",
      "unknown mask source 'vox:/x'; did you mean 'voc'?; known mask sources: "
      "voc, npz, tfds; your own: 'package.module:Name'",
    ),
    ("vox", "unknown mask source 'vox'; did you mean 'voc'?"),
    ("my_lab", "unknown mask source 'my_lab'"),
    ("my_lab.none:SOURCE:here", "mask source 'my_lab.none:SOURCE': cannot imp"),
    ("jnas.data.voc:CLASSES", "'jnas.data.voc:CLASSES' is of type tuple"),
    ("voc", "voc needs PATH"),
    ("tfds:voc/2012", "TFDS's VOC has boxes and no masks"),
  ],
)
def test_an_unknown_source_is_one_line(source, said):
  with pytest.raises(ValueError) as caught:
    segmentation.describe(source, ALL)
  assert said in str(caught.value)


def test_a_source_of_ones_own_is_given_by_its_path(tmp_path, monkeypatch):
  (tmp_path / "lab_masks.py").write_text(
    "from jnas.data import npz_masks, segmentation\n"
    "def describe(argument, **options):\n"
    "  return npz_masks.describe(argument + '.npz', **options)\n"
    "def load(argument, **options):\n"
    "  return npz_masks.load(argument + '.npz', **options)\n"
    "SOURCE = segmentation.MaskedSource(describe, load)\n"
  )
  monkeypatch.syspath_prepend(tmp_path)
  scenes.write_npz(tmp_path / "a:set.npz", train=6, test=3)
  source = f"lab_masks:SOURCE:{tmp_path / 'a:set'}"
  some = segmentation.Options("train", 4, None)
  info = segmentation.describe(source, some)
  assert (info.num_train, info.num_test, info.num_classes) == (4, 3, 4)
  dataset = segmentation.load(source, some, VIEW)
  assert (len(dataset.train), len(dataset.test)) == (4, 3)
  image, mask = dataset.test.example(0, None)
  images, masks = scenes.make(1, split="test")
  np.testing.assert_array_equal(image, images[0])
  np.testing.assert_array_equal(mask, masks[0])


def test_a_list_means_nothing_in_an_archive(tmp_path):
  source = scenes.write_npz(tmp_path / "set.npz", train=6, test=3)
  with pytest.raises(ValueError, match="npz has no lists, so it must be 'trai"):
    segmentation.describe(source, ALL._replace(train_list="trainaug"))
