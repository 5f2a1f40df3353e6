"""Images that are missing, damaged, or not as they must be."""

import numpy as np
import pytest
from PIL import Image

SEARCH = (
  *("search", "--config", "smoke", "--workdir", "run"),
  *("--data.limit", 0, "--data.test_limit", 0, "--data.image_size", 0),
  *("--search.batch_size", 4, "--evaluate.batch_size", 4),
)


@pytest.mark.parametrize(
  ("source", "message"),
  [
    ("npz:none.npz", "npz file 'none.npz' does not exist"),
    ("npz:.", "npz file '.' is a folder, not a file"),
    ("npz:", "npz needs PATH: npz:PATH"),
    ("folder:none", "image folder 'none' does not exist"),
    ("fashion_mnist", "did you mean 'fashion_mnist_mini'?"),
    ("fashion_mnist_mini:x", "takes no argument; found 'x'"),
  ],
)
def test_a_source_that_is_not_there_is_refused(refusal, source, message):
  assert message in refusal(*SEARCH, "--data.source", source)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"test_labels": None},
      "lacks test_labels; it holds test_images, train_im",
    ),
    (
      {"train_images": np.zeros((24, 8, 8, 3), np.float32)},
      "train_images are float32; wanted uint8, 0 to 255",
    ),
    ({"train_labels": np.zeros(24)}, "train_labels are float64; wanted whole"),
    (
      {"test_labels": np.arange(6)},
      "test_labels hold 5; with 3 classes they must be 0 to 2",
    ),
    ({"train_labels": np.arange(24) % 3 - 1}, "numbers from -1 to 1; without"),
    (
      {
        "train_images": np.zeros((24, 6, 8, 3), np.uint8),
        "test_images": np.zeros((6, 6, 8, 3), np.uint8),
      },
      "images of 6x8: height and width must be multiples of 4",
    ),
  ],
)
def test_an_archive_that_is_not_as_it_must_be_is_refused(
  refusal, write_npz, changes, message
):
  source = write_npz(**changes)
  assert message in refusal(*SEARCH, "--data.source", source)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--data.limit", 25], "limit is 25; 24 images are there: give 1 to 24"),
    (["--data.test_limit", 7], "test limit is 7; 6 images are there"),
    (
      ["--search.batch_size", 13],
      "search.batch_size is 13; it must be 1 to 12",
    ),
    (["--data.crop_padding", 8], "data.crop_padding is 8; it must be 0 to 7"),
    (["--data.valid_fraction", 0.999], "no images that fit the weights"),
  ],
)
def test_settings_that_do_not_go_with_the_images_are_refused(
  refusal, write_npz, options, message
):
  assert message in refusal(*SEARCH, "--data.source", write_npz(), *options)


def damage(content: bytes, how: str) -> bytes:
  if how == "cut":
    return content[: len(content) // 2]
  if how == "flip":
    middle = len(content) // 3
    return (
      content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    )
  return b"hello"


@pytest.mark.parametrize("how", ["cut", "flip", "replace"])
def test_a_damaged_archive_is_refused(here, refusal, write_npz, how):
  source = write_npz()
  path = here / "set.npz"
  path.write_bytes(damage(path.read_bytes(), how))
  message = refusal(*SEARCH, "--data.source", source)
  assert message.startswith("npz file 'set.npz' is damaged or not an npz archi")


@pytest.fixture
def pictures(here):
  """Six pictures of noise in each of two class folders."""
  rng = np.random.default_rng(0)
  for name in ("ant", "bee"):
    (here / "pictures" / name).mkdir(parents=True)
    for index in range(6):
      noise = rng.integers(0, 256, (8, 8, 3), np.uint8)
      Image.fromarray(noise).save(here / "pictures" / name / f"{index}.png")
  return here / "pictures"


@pytest.mark.parametrize("size", [0, 40, 120])
def test_a_truncated_image_is_refused(refusal, pictures, size):
  # Without a header, within the header, and within the pixels.
  path = pictures / "bee" / "3.png"
  assert path.stat().st_size > 200
  path.write_bytes(path.read_bytes()[:size])
  message = refusal(*SEARCH, "--data.source", "folder:pictures")
  assert message.startswith("image 'pictures/bee/3.png' is damaged or unreada")


def test_a_folder_without_classes_is_refused(here, refusal, pictures):
  (here / "empty").mkdir()
  message = refusal(*SEARCH, "--data.source", "folder:empty")
  assert (
    "'empty' holds no class folders; wanted one folder of images" in message
  )
  message = refusal(*SEARCH, "--data.source", "folder:pictures/ant")
  assert "holds no class folders" in message
