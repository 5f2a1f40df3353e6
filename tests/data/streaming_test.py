"""Streamed images: the same batches as from memory, and as in one process."""

import io
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from jnas import data
from jnas.data import loader, prefetch, streamed, streaming, views
from jnas.data.base import Split
from jnas.training import sharding

SIZE = 8


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> pathlib.Path:
  """24 training and 6 test images of two classes, each unlike the others."""
  root = tmp_path_factory.mktemp("images")
  random = np.random.default_rng(0)
  for split, count in (("train", 12), ("val", 3)):
    for label in ("a", "b"):
      folder = root / split / label
      folder.mkdir(parents=True)
      for index in range(count):
        pixels = random.integers(0, 256, (10 + index % 3, 14, 3), np.uint8)
        ending = ("png", "jpg")[index % 2]
        Image.fromarray(pixels).save(folder / f"{index:02d}.{ending}")
  return root


def open_streamed(root, **options):
  stream = streaming.Stream(mode="on", **options)
  return data.load(f"folder:{root}", image_size=SIZE, stream=stream)


def fetch(batches):
  return [jax.device_get(batch) for batch in batches]


def assert_same(got, wanted):
  assert len(got) == len(wanted)
  for one, other in zip(got, wanted, strict=True):
    for name in ("images", "labels"):
      np.testing.assert_array_equal(one[name], other[name])


def test_batches_are_those_of_the_same_images_in_memory(images):
  stored, resident = (
    open_streamed(images),
    data.load(f"folder:{images}", image_size=SIZE),
  )
  assert isinstance(resident.train, Split)
  assert stored.info.streamed and not resident.info.streamed
  assert (stored.mean, stored.std) == (resident.mean, resident.std)
  order = loader.epoch_order(jax.random.key(0), 24, 5)
  assert_same(
    fetch(prefetch.batches(stored.train, order)),
    fetch(loader.batches(loader.put(resident.train), order)),
  )


def test_a_limit_takes_the_same_images_as_in_memory(images):
  options = {"limit": 7, "test_limit": 2, "image_size": SIZE}
  stored, resident = (
    data.load(f"folder:{images}", stream=stream, **options)
    for stream in (streaming.Stream(mode="on"), None)
  )
  for split, count in (("train", 7), ("test", 2)):
    got, wanted = getattr(stored, split), getattr(resident, split)
    np.testing.assert_array_equal(got.labels, wanted.labels)
    np.testing.assert_array_equal(got.head(count), wanted.images)
  described = data.describe(
    f"folder:{images}", stream=streaming.Stream(mode="on"), **options
  )
  assert described == stored.info


def test_crops_depend_on_key_row_and_column_alone(images):
  train = open_streamed(images, crop_scale=0.2).train
  order = np.zeros((3, 4), np.int32)  # the same image everywhere
  key = jax.random.key(3)
  whole = fetch(prefetch.batches(train, order, crop_key=key))
  crops = {image.tobytes() for batch in whole for image in batch["images"]}
  assert len(crops) == 12
  resumed = fetch(prefetch.batches(train, order, start=1, crop_key=key))
  assert_same(resumed, whole[1:])
  other = jax.random.key(4)
  (batch,) = fetch(prefetch.batches(train, order[:1], crop_key=other))
  assert not np.array_equal(batch["images"], whole[0]["images"])


def test_measuring_draws_nothing(images):
  train = open_streamed(images, crop_scale=0.2, eval_crop=0.8).train
  order = np.zeros((2, 3), np.int32)
  batches = fetch(prefetch.batches(train, order))
  assert len({i.tobytes() for batch in batches for i in batch["images"]}) == 1


def test_a_process_decodes_the_rows_of_its_devices_only(images):
  train = open_streamed(images, crop_scale=0.2).train
  order = loader.epoch_order(jax.random.key(0), 24, 8)
  key = jax.random.key(1)
  whole = fetch(prefetch.batches(train, order, crop_key=key))
  seed = [int(word) for word in jax.random.key_data(key)]
  held = np.array([4, 5, 6, 7])  # as the second of two processes
  part = prefetch._begin(train, order, 1, held, seed).wait()
  np.testing.assert_array_equal(part["images"], whole[1]["images"][4:])
  np.testing.assert_array_equal(part["labels"], whole[1]["labels"][4:])


def test_batches_are_split_over_the_devices(images):
  train = open_streamed(images).train
  batch_sharding = sharding.split(sharding.make_mesh())
  with jax.transfer_guard("disallow"):
    (batch,) = prefetch.batches(
      train, np.arange(8)[None], sharding=batch_sharding
    )
  assert batch["images"].sharding == batch["labels"].sharding == batch_sharding


def test_an_unreadable_image_gives_way_to_the_next_and_is_told_of_once(
  images, tmp_path
):
  told = []
  train = open_streamed(images, max_unreadable=1, tell=told.append).train
  bad = b"\x89PNG not really"

  def read(at: int) -> bytes:
    return bad if at == 2 else train.read(at)

  damaged = streamed.dataclasses.replace(train, read=read)
  order = np.array([[2, 1], [2, 0]], np.int32)
  got = fetch(prefetch.batches(damaged, order))
  wanted = fetch(prefetch.batches(train, np.array([[3, 1], [3, 0]])))
  assert_same(got, wanted)
  (line,) = told
  assert "02.png" in line and "skipped (1 of 1 allowed)" in line


def test_the_last_image_gives_way_to_the_first(images):
  train = open_streamed(images, max_unreadable=1).train
  last = len(train) - 1
  damaged = streamed.dataclasses.replace(
    train, read=lambda at: b"" if at == last else train.read(at)
  )
  image, label = damaged.example(last, None)
  np.testing.assert_array_equal(image, train.example(0, None)[0])
  assert label == train.labels[0]


def test_too_many_unreadable_images_are_an_error(images):
  train = open_streamed(images, max_unreadable=2).train
  damaged = streamed.dataclasses.replace(train, read=lambda at: b"")
  with pytest.raises(streamed.UnreadableError, match="max_unreadable is 2"):
    fetch(prefetch.batches(damaged, np.arange(8)[None]))


def test_grey_and_transparent_images_have_three_channels(tmp_path):
  for mode in ("L", "P", "RGBA", "LA", "CMYK"):
    content = io.BytesIO()
    kind = "JPEG" if mode in ("L", "CMYK") else "PNG"
    Image.new(mode, (40, 30)).save(content, kind)
    for random in (None, np.random.default_rng(0)):
      view = views.View(SIZE, crop_scale=0.5)
      got = views.decode(content.getvalue(), view, random)
      assert got.shape == (SIZE, SIZE, 3) and got.dtype == np.uint8


def test_crops_keep_to_the_ranges_of_area_and_ratio():
  random, view = np.random.default_rng(0), views.View(8, 0.08, 4 / 3)
  areas, ratios = [], []
  for _ in range(2000):
    left, top, right, bottom = views.random_box(random, (400, 400), view)
    assert 0 <= left < right <= 400 and 0 <= top < bottom <= 400
    areas.append((right - left) * (bottom - top) / 400**2)
    ratios.append((right - left) / (bottom - top))
  assert 0.075 < min(areas) < 0.12 and max(areas) > 0.9
  assert 0.74 < min(ratios) and max(ratios) < 1.35
  # Uniform in area but for the largest, which fit less often.
  assert abs(np.mean(np.array(areas) < 0.3) - 0.25) < 0.05


def test_a_crop_that_never_fits_is_the_largest_centre():
  view = views.View(8, 0.9, 4 / 3)
  # 1000x10: no crop of 9/10 of the area has a ratio below 4/3; 13 = 10 * 4/3.
  box = views.random_box(np.random.default_rng(0), (1000, 10), view)
  assert box == (493, 0, 506, 10)


def test_measuring_sees_the_centre_of_the_resized_image():
  pixels = np.zeros((64, 128, 3), np.uint8)
  pixels[:, 64 - 24 : 64 + 24] = 200  # the centre 48 of 64
  content = io.BytesIO()
  Image.fromarray(pixels).save(content, "PNG")
  view = views.View(24, crop_scale=0.1, eval_crop=0.75)  # 32 on the shorter
  got = views.decode(content.getvalue(), view, None)
  assert (got[:, 1:-1] == 200).all()


def test_a_large_jpeg_is_decoded_smaller_to_nearly_the_same():
  across = np.linspace(0, 255, 800, dtype=np.uint8)
  pixels = np.broadcast_to(across[None, :, None], (600, 800, 3))
  files = {}
  for kind in ("JPEG", "PNG"):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    files[kind] = content.getvalue()
  view = views.View(16, crop_scale=0.5, eval_crop=0.875)
  for seed in (None, 0, 1, 2):
    jpeg, png = (
      views.decode(
        files[kind],
        view,
        None if seed is None else np.random.default_rng(seed),
      ).astype(int)
      for kind in ("JPEG", "PNG")
    )
    assert np.abs(jpeg - png).max() < 8


@pytest.mark.parametrize(
  ("source", "options", "words"),
  [
    ("fashion_mnist_mini", {"image_size": 8}, "cannot be streamed"),
    ("folder:{root}", {}, "data.image_size is 0"),
    ("folder:{root}/nothing", {"image_size": 8}, "does not exist"),
    ("folder:{root}/train/a", {"image_size": 8}, "no class folders"),
    ("folder:{root}", {"image_size": 8, "limit": 99}, "limit is 99"),
  ],
)
def test_what_cannot_be_streamed_is_refused(images, source, options, words):
  with pytest.raises((ValueError, FileNotFoundError), match=words):
    data.describe(
      source.format(root=images),
      stream=streaming.Stream(mode="on"),
      **options,
    )


def test_auto_streams_by_size_and_for_crops(images, monkeypatch):
  def is_streamed(**options):
    stream = streaming.Stream(mode="auto", **options)
    return data.describe(
      f"folder:{images}", image_size=SIZE, stream=stream
    ).streamed

  assert not is_streamed()
  assert is_streamed(crop_scale=0.1)
  # 30 images of 8x8x3.
  monkeypatch.setattr(streaming, "RESIDENT_BYTES", 30 * 8 * 8 * 3)
  assert not is_streamed()
  monkeypatch.setattr(streaming, "RESIDENT_BYTES", 30 * 8 * 8 * 3 - 1)
  assert is_streamed()
  small = streaming.Stream(mode="auto")
  assert not data.describe("fashion_mnist_mini", stream=small).streamed
