import pathlib
import zipfile

import numpy as np
import pytest
from PIL import Image

from jnas import data


def draw(seed: int, size: tuple[int, int] = (6, 4), mode: str = "RGB"):
  """A random image, `size` is width and height."""
  rng = np.random.default_rng(seed)
  channels = () if mode == "L" else (3,)
  pixels = rng.integers(0, 256, (size[1], size[0], *channels), np.uint8)
  return Image.fromarray(pixels, mode)


def fill(
  root: pathlib.Path,
  counts: dict[str, int],
  *,
  size: tuple[int, int] = (6, 4),
  mode: str = "RGB",
  suffix: str = ".png",
) -> None:
  """Makes class folders with so many images each."""
  for number, (name, count) in enumerate(counts.items()):
    (root / name).mkdir(parents=True, exist_ok=True)
    for index in range(count):
      image = draw(1000 * number + index, size, mode)
      image.save(root / name / f"{index:03d}{suffix}")


def refusal(root, call=data.load, error=ValueError, **options) -> str:
  """The one line with which a folder is refused."""
  with pytest.raises(error) as caught:
    call(f"folder:{root}", **options)
  text = str(caught.value)
  assert "\n" not in text and str(root) in text
  return text


CALLS = pytest.mark.parametrize("call", [data.load, data.describe])


@pytest.mark.parametrize("held_out", ["test", "val", "valid", "validation"])
def test_train_and_test_folders_are_the_splits(tmp_path, held_out):
  fill(tmp_path / "train", {"bee": 3, "ant": 2})
  fill(tmp_path / held_out, {"ant": 1, "bee": 2}, size=(6, 4))
  dataset = data.load(f"folder:{tmp_path}")
  assert dataset.class_names == ("ant", "bee")
  np.testing.assert_array_equal(dataset.train.labels, [0, 0, 1, 1, 1])
  np.testing.assert_array_equal(dataset.test.labels, [0, 1, 1])
  assert dataset.image_shape == (4, 6, 3)
  assert dataset.note == ""


def test_images_are_decoded_without_loss_in_sorted_order(tmp_path):
  fill(tmp_path / "train", {"ant": 2, "bee": 2})
  fill(tmp_path / "test", {"ant": 1, "bee": 1})
  images = data.load(f"folder:{tmp_path}").train.images
  for image, seed in zip(images, (0, 1, 1000, 1001), strict=True):
    np.testing.assert_array_equal(image, np.asarray(draw(seed)))


def test_val_beside_test_is_a_fixed_validation_split(tmp_path):
  for split, count in (("train", 3), ("test", 2), ("val", 1)):
    fill(tmp_path / split, {"ant": count, "bee": count})
  dataset = data.load(f"folder:{tmp_path}")
  assert dataset.valid is not None
  assert [len(dataset.train), len(dataset.test), len(dataset.valid)] == [
    6,
    4,
    2,
  ]
  assert data.describe(f"folder:{tmp_path}") == dataset.info


def test_of_class_folders_alone_a_fifth_is_held_out(tmp_path):
  fill(tmp_path, {"ant": 10, "bee": 5, "cat": 3})
  dataset = data.load(f"folder:{tmp_path}")
  # Every fifth: 2 of 10, 1 of 5; of 3, the last.
  np.testing.assert_array_equal(np.bincount(dataset.test.labels), [2, 1, 1])
  np.testing.assert_array_equal(np.bincount(dataset.train.labels), [8, 4, 2])
  seen = {image.tobytes() for image in dataset.train.images}
  assert not any(image.tobytes() in seen for image in dataset.test.images)
  assert "held out" in dataset.note
  assert data.describe(f"folder:{tmp_path}") == dataset.info
  again = data.load(f"folder:{tmp_path}")
  np.testing.assert_array_equal(again.test.images, dataset.test.images)


def test_hidden_and_other_files_are_passed_over(tmp_path):
  fill(tmp_path, {"ant": 2, "bee": 2})
  (tmp_path / ".cache").mkdir()
  (tmp_path / "ant" / ".hidden.png").write_bytes(b"no image")
  (tmp_path / "ant" / "._000.png").write_bytes(b"no image")
  (tmp_path / "ant" / "notes.txt").write_text("no image")
  (tmp_path / "labels.csv").write_text("no folder")
  dataset = data.load(f"folder:{tmp_path}")
  assert dataset.class_names == ("ant", "bee")
  assert len(dataset.train) + len(dataset.test) == 4


def test_folders_inside_a_class_folder_are_searched(tmp_path):
  # The layout of Tiny-ImageNet: train/<class>/images/*.JPEG.
  fill(tmp_path / "ant", {"images": 3}, suffix=".JPEG")
  fill(tmp_path / "bee", {"images": 3}, suffix=".JPEG")
  info = data.describe(f"folder:{tmp_path}")
  assert info.num_train + info.num_test == 6


@pytest.mark.parametrize(
  "suffix", [".png", ".jpg", ".JPEG", ".bmp", ".webp", ".ppm", ".tif", ".gif"]
)
def test_formats_are_read(tmp_path, suffix):
  fill(tmp_path, {"ant": 2, "bee": 2}, suffix=suffix)
  assert data.load(f"folder:{tmp_path}").image_shape == (4, 6, 3)


def test_all_grey_images_have_one_channel(tmp_path):
  fill(tmp_path, {"ant": 2, "bee": 2}, mode="L")
  dataset = data.load(f"folder:{tmp_path}")
  assert dataset.image_shape == (4, 6, 1)
  wanted = np.asarray(draw(0, mode="L"))
  np.testing.assert_array_equal(dataset.train.images[0, ..., 0], wanted)
  assert data.describe(f"folder:{tmp_path}") == dataset.info


def test_one_colour_image_among_grey_ones_makes_all_rgb(tmp_path):
  fill(tmp_path, {"ant": 2, "bee": 2}, mode="L")
  draw(7).save(tmp_path / "bee" / "001.png")
  dataset = data.load(f"folder:{tmp_path}")
  assert dataset.image_shape == (4, 6, 3)
  first = dataset.train.images[0]
  np.testing.assert_array_equal(first[..., 0], first[..., 2])


def test_transparency_is_dropped(tmp_path):
  fill(tmp_path, {"ant": 2, "bee": 2})
  image = draw(0)
  image.putalpha(10)
  image.save(tmp_path / "ant" / "000.png")
  dataset = data.load(f"folder:{tmp_path}")
  np.testing.assert_array_equal(dataset.train.images[0], np.asarray(draw(0)))


def test_an_image_size_makes_squares_of_all(tmp_path):
  fill(tmp_path, {"ant": 2}, size=(9, 5))
  fill(tmp_path, {"bee": 2}, size=(4, 8))
  dataset = data.load(f"folder:{tmp_path}", image_size=4)
  assert dataset.image_shape == (4, 4, 3)
  # 4x8: the shorter side has 4 already, so the middle rows 2 to 5 remain.
  bee = np.asarray(draw(0, (4, 8)))
  np.testing.assert_array_equal(dataset.train.images[1], bee[2:6])
  assert data.describe(f"folder:{tmp_path}", image_size=4) == dataset.info


def test_a_limit_takes_the_same_number_of_each_class(tmp_path):
  fill(tmp_path / "train", {"ant": 6, "bee": 2, "cat": 4})
  fill(tmp_path / "test", {"ant": 3, "bee": 3, "cat": 3})
  source = f"folder:{tmp_path}"
  dataset = data.load(source, limit=6, test_limit=3)
  np.testing.assert_array_equal(dataset.train.labels, [0, 0, 1, 1, 2, 2])
  np.testing.assert_array_equal(dataset.test.labels, [0, 1, 2])
  np.testing.assert_array_equal(dataset.train.images[1], np.asarray(draw(1)))
  assert data.describe(source, limit=6, test_limit=3) == dataset.info
  assert "limit is 13; 12 images" in refusal(tmp_path, limit=13)
  assert "test limit is 0; 9 images" in refusal(tmp_path, test_limit=0)


def test_real_jpegs_of_one_size_are_loaded(shared, tmp_path):
  with zipfile.ZipFile(shared / "data" / "imagenet_samples.zip") as archive:
    archive.extractall(tmp_path)
  (folder,) = tmp_path.glob("**/tiny64")
  dataset = data.load(f"folder:{folder}")
  assert (len(dataset.train), len(dataset.test)) == (300, 100)
  assert dataset.image_shape == (64, 64, 3) and dataset.num_classes == 10
  assert data.describe(f"folder:{folder}") == dataset.info


def test_real_jpegs_of_many_sizes_need_an_image_size(shared, tmp_path):
  with zipfile.ZipFile(shared / "data" / "imagenet_samples.zip") as archive:
    archive.extractall(tmp_path)
  (folder,) = tmp_path.glob("**/full256")
  # One image a class: a test folder of the same images stands in.
  (tmp_path / "set").mkdir()
  (tmp_path / "set" / "train").symlink_to(folder)
  (tmp_path / "set" / "val").symlink_to(folder)
  assert "different sizes" in refusal(tmp_path / "set")
  dataset = data.load(f"folder:{tmp_path}/set", image_size=32)
  assert dataset.train.images.shape == (29, 32, 32, 3)
  assert "holds one image" in refusal(folder, image_size=32)


@CALLS
def test_a_missing_folder_is_named(tmp_path, call):
  text = refusal(tmp_path / "nowhere", call, FileNotFoundError)
  assert "does not exist" in text


@CALLS
def test_a_file_is_not_a_folder(tmp_path, call):
  (tmp_path / "file").write_text("")
  text = refusal(tmp_path / "file", call, FileNotFoundError)
  assert "is a file" in text


@CALLS
def test_a_folder_without_classes_is_refused(tmp_path, call):
  draw(0).save(tmp_path / "loose.png")
  assert "holds no class folders" in refusal(tmp_path, call)
  (tmp_path / "train").mkdir()
  (tmp_path / "test").mkdir()
  assert "train' holds no class folders" in refusal(tmp_path, call)


@CALLS
def test_a_single_class_is_refused(tmp_path, call):
  fill(tmp_path, {"ant": 3})
  assert "holds one class folder; wanted" in refusal(tmp_path, call)


@CALLS
def test_a_class_without_images_is_named(tmp_path, call):
  fill(tmp_path, {"ant": 3, "bee": 0})
  (tmp_path / "bee" / "notes.txt").write_text("")
  assert "bee' holds no image" in refusal(tmp_path, call)


@CALLS
def test_a_class_missing_from_one_split_is_named(tmp_path, call):
  fill(tmp_path / "train", {"ant": 2, "bee": 2, "cat": 2})
  fill(tmp_path / "test", {"ant": 2, "bee": 2})
  text = refusal(tmp_path, call)
  assert "train/ and test/ must have the same class folders" in text
  assert text.endswith("cat")


@CALLS
def test_half_a_layout_is_refused(tmp_path, call):
  fill(tmp_path / "train", {"ant": 2, "bee": 2})
  assert "train/ but neither test/ nor val/" in refusal(tmp_path, call)
  (tmp_path / "train").rename(tmp_path / "val")
  assert "val/ but no train/" in refusal(tmp_path, call)


@CALLS
def test_images_of_different_sizes_are_both_named(tmp_path, call):
  fill(tmp_path, {"ant": 2, "bee": 2})
  draw(0, (7, 4)).save(tmp_path / "bee" / "001.png")
  text = refusal(tmp_path, call)
  assert (
    "6x4" in text and "bee/001.png' 7x4" in text and "data.image_size" in text
  )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".ppm", ".bmp"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.9])
def test_a_truncated_image_is_named(tmp_path, suffix, share):
  fill(tmp_path, {"ant": 2, "bee": 2}, suffix=suffix, size=(40, 30))
  path = tmp_path / "bee" / f"001{suffix}"
  path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
  text = refusal(tmp_path)
  assert f"bee/001{suffix}' is damaged or unreadable" in text


@CALLS
def test_what_is_no_image_is_named(tmp_path, call):
  fill(tmp_path, {"ant": 2, "bee": 2})
  (tmp_path / "ant" / "001.png").write_text("<html>not found</html>")
  assert "ant/001.png' is damaged or unreadable" in refusal(tmp_path, call)


@CALLS
def test_images_of_16_bits_are_refused(tmp_path, call):
  fill(tmp_path, {"ant": 2, "bee": 2}, mode="L")
  wide = np.full((4, 6), 40_000, np.uint16)
  Image.fromarray(wide).save(tmp_path / "ant" / "001.png")
  assert "more than 8 bits a channel" in refusal(tmp_path, call)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on TIFF tags.
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".tif", ".webp"])
def test_any_flipped_byte_gives_an_image_or_one_line(tmp_path, suffix):
  fill(tmp_path, {"ant": 2, "bee": 2}, suffix=suffix)
  path = tmp_path / "ant" / f"001{suffix}"
  sound = path.read_bytes()
  rng = np.random.default_rng(0)
  for _ in range(100):
    content = bytearray(sound)
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)
    try:
      assert data.load(f"folder:{tmp_path}", image_size=4).num_classes == 2
    except ValueError as error:
      assert "ant/001" in str(error) and "\n" not in str(error)
