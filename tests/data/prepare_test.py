"""`jnas prepare`: ImageNet's folders become a set that jnas reads."""

import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types
import zipfile

import numpy as np
import pytest
from PIL import Image

from jnas import cli, data
from jnas.data import array_records, streaming
from jnas.pipeline import prepare
from tests.cli.conftest import snapshot

PROJECT = pathlib.Path(__file__).parents[2]
SAMPLES = PROJECT.parent / "shared" / "data" / "imagenet_samples.zip"
WNIDS = ("n01440764", "n02099712", "n15075141")  # labels 0, 208 and 999


@pytest.fixture
def packages() -> None:
  pytest.importorskip("array_record")
  pytest.importorskip("tensorflow_datasets")


@pytest.fixture
def here(packages, tmp_path, monkeypatch) -> pathlib.Path:
  """A folder with 5 training and 2 validation images of three classes."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  for split, count in (("train", 5), ("val", 2)):
    for label, wnid in enumerate(WNIDS):
      folder = tmp_path / "from" / split / wnid
      folder.mkdir(parents=True)
      for index in range(count):
        pixels = np.full((8, 9, 3), 40 * label + index, np.uint8)
        Image.fromarray(pixels).save(folder / f"{wnid}_{index}.JPEG", "JPEG")
  return tmp_path


def run(*options: str) -> dict:
  command = ["imagenet2012", "--from", "from", "--to", "to", *options]
  return prepare.run(prepare.parse(command))


def refusal(capfd, *options: str, code: int = 2) -> str:
  """The one line of a command that must be refused."""
  command = ["imagenet2012", "--from", "from", "--to", "to", *options]
  with pytest.raises(SystemExit) as stopped:
    cli.main(["prepare", *command])
  out, err = capfd.readouterr()
  assert stopped.value.code == code and out == "", err
  lines = [line for line in err.splitlines() if not line.startswith("warning")]
  assert len(lines) == 1 and lines[0].startswith("jnas: error: "), err
  return lines[0].removeprefix("jnas: error: ")


def stored(monkeypatch, folder: str = "to") -> dict[str, list]:
  """Label and name of every image, by split, as jnas reads them."""
  import tensorflow_datasets as tfds

  builder = tfds.builder_from_directory(f"{folder}/imagenet2012/5.1.0")
  skip = {"image": tfds.decode.SkipDecoding()}
  found = {}
  for split in ("train", "validation"):
    examples = builder.as_data_source(split, decoders=skip)
    found[split] = [
      (int(e["label"]), e["file_name"].decode(), bytes(e["image"]))
      for e in examples
    ]
  monkeypatch.setattr(
    tfds,
    "builder",
    lambda name, build=tfds.builder: build(name, data_dir=folder),
  )
  return found


def test_folders_become_a_set_with_the_same_bytes(here, monkeypatch, capfd):
  monkeypatch.setattr(array_records, "PER_SHARD", 4)
  with pytest.raises(SystemExit) as done:
    cli.main(["prepare", "imagenet2012", "--from", "from", "--to", "to"])
  assert done.value.code == 0
  out, err = capfd.readouterr()
  assert out.startswith(
    "to/imagenet2012/5.1.0: 15 training and 6 validation images of 3 classes "
    "in 6 files of "
  )
  assert "0 left out, in " in out
  assert out.endswith(
    "use it by TFDS_DATA_DIR=to and --data.source imagenet2012\n"
  )
  assert "warning: images of 3 of the 1,000 classes" in err
  found = stored(monkeypatch)
  labels = dict(zip(WNIDS, (0, 208, 999), strict=True))
  for split, folder in (("train", "train"), ("validation", "val")):
    assert sorted(found[split]) == sorted(
      (labels[path.parent.name], path.name, path.read_bytes())
      for path in (here / "from" / folder).rglob("*.JPEG")
    )
  # No shard has one class only.
  assert len({label for label, *_ in found["train"][:4]}) > 1
  stream = streaming.Stream(mode="on")
  dataset = data.load("imagenet2012", image_size=8, stream=stream)
  assert (len(dataset.train), len(dataset.test)) == (15, 6)
  assert len(dataset.class_names) == 1000
  image, label = dataset.train.example(0, None)
  assert image.shape == (8, 8, 3)
  assert label in (0, 208, 999)
  assert "tensorflow" not in sys.modules


def test_the_same_images_give_the_same_files(here):
  first = run()
  shutil.move("to", "first")
  assert run()["bytes"] == first["bytes"]
  first_files, files = (
    {name: value for name, value in snapshot(here / folder).items()}
    for folder in ("first", "to")
  )
  assert files == first_files


@pytest.mark.parametrize("killed_at", [1, 2, 5])
def test_what_was_killed_goes_on_where_it_was(here, monkeypatch, killed_at):
  monkeypatch.setattr(array_records, "PER_SHARD", 4)
  run()
  shutil.move("to", "first")
  write, written = array_records._write_shard, []

  def write_or_die(path, *args):
    if len(written) == killed_at:
      path.with_name(f"{path.name}.partial").write_bytes(b"half")
      raise KeyboardInterrupt
    written.append(path.name)
    write(path, *args)

  monkeypatch.setattr(array_records, "_write_shard", write_or_die)
  with pytest.raises(KeyboardInterrupt):
    run()
  assert not (here / "to" / "imagenet2012" / "5.1.0").exists()
  killed_at = -1
  run()
  assert len(written) == len(set(written)) == 6
  assert snapshot(here / "to") == snapshot(here / "first")


def test_what_was_begun_with_other_images_is_refused(here, monkeypatch, capfd):
  monkeypatch.setattr(array_records, "_write_shard", lambda *_: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    run()
  (here / "from" / "train" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG").unlink()
  assert refusal(capfd).startswith(
    "'to/imagenet2012/incomplete.5.1.0' was begun with other images than --from"
  )


def test_unreadable_images_are_left_out_up_to_a_limit(here, monkeypatch, capfd):
  monkeypatch.setattr(array_records, "PER_SHARD", 4)
  bad = [f"from/train/{WNIDS[1]}/{WNIDS[1]}_{index}.JPEG" for index in (0, 3)]
  pathlib.Path(bad[0]).write_bytes(b"")
  content = pathlib.Path(bad[1]).read_bytes()
  pathlib.Path(bad[1]).write_bytes(content[: len(content) // 2])
  line = refusal(capfd, "--max-unreadable", "1", code=1)
  assert line.startswith("2 images cannot be read, and --max-unreadable is 1")
  assert not pathlib.Path("to/imagenet2012/5.1.0").exists()
  # What an earlier run left out still counts.
  with pytest.raises(SystemExit):
    cli.main(["prepare", "imagenet2012", "--from", "from", "--to", "to"])
  assert "2 left out" in capfd.readouterr().out
  names = {name for _, name, _ in stored(monkeypatch)["train"]}
  assert len(names) == 13 and not names & {os.path.basename(b) for b in bad}


def test_what_is_no_rgb_jpeg_is_encoded_as_one(here, monkeypatch):
  folder = here / "from" / "train" / WNIDS[0]
  pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
  image = Image.fromarray(pixels)
  image.save(folder / f"{WNIDS[0]}_0.JPEG", "PNG")
  image.convert("CMYK").save(folder / f"{WNIDS[0]}_1.JPEG", "JPEG", quality=100)
  run()
  found = {name: image for _, name, image in stored(monkeypatch)["train"]}
  for index in (0, 1):
    with Image.open(io.BytesIO(found[f"{WNIDS[0]}_{index}.JPEG"])) as opened:
      assert (opened.format, opened.mode) == ("JPEG", "RGB")
      difference = np.asarray(opened).astype(int) - pixels
      assert np.abs(difference).max() < 40 * (1 + index)


def flatten(here: pathlib.Path, name: str) -> list[str]:
  """Makes val/ flat; the wnid of each image in the order of the names."""
  wnids = []
  for number, path in enumerate(sorted((here / "from/val").rglob("*.JPEG"))):
    wnids.append(path.parent.name)
    path.rename(here / "from" / "val" / name.format(number + 1))
  for wnid in WNIDS:
    (here / "from" / "val" / wnid).rmdir()
  return wnids


@pytest.mark.parametrize("columns", [1, 2])
def test_a_flat_validation_folder_takes_a_file_of_labels(
  here, monkeypatch, columns
):
  wnids = flatten(here, "picture_{}.JPEG")
  lines = [f"picture_{i}.JPEG {wnid}" for i, wnid in enumerate(wnids, 1)]
  if columns == 1:
    lines = wnids
  (here / "labels.txt").write_text("\n".join(lines) + "\n")
  run("--val-labels", "labels.txt")
  found = stored(monkeypatch)["validation"]
  assert [label for label, *_ in found] == [0, 0, 208, 208, 999, 999]


def test_a_flat_validation_folder_with_the_official_names_needs_none(
  here, monkeypatch
):
  flatten(here, "ILSVRC2012_val_{:08d}.JPEG")
  # The first six of the official labels; they need training images too.
  official = ("n01751748", "n09193705", "n02105855", "n04263257", "n03125729")
  for wnid in (*official, "n01735189"):
    folder = here / "from" / "train" / wnid
    shutil.copytree(here / "from" / "train" / WNIDS[0], folder)
  run()
  import tensorflow_datasets as tfds

  names = tfds.builder("imagenet2012", data_dir="to").info.features["label"]
  found = stored(monkeypatch)["validation"]
  assert [names.int2str(label) for label, *_ in found][:5] == list(official)


@pytest.mark.parametrize(
  ("change", "options", "message"),
  [
    ("", ("--from", "none"), "--from is 'none', which does not exist"),
    (
      "mkdir empty",
      ("--from", "empty"),
      "no folder train/; wanted train/<wnid>",
    ),
    ("rm -r from/val", (), "which has no folder val/"),
    ("rm -r from/train/*/*", (), "holds no image"),
    ("mv from/train/n01440764 from/train/cats", (), "'cats', which is none of"),
    ("rm -r from/train/n02099712", (), "1 classes without training images"),
    (
      "mkdir -p to/imagenet2012/5.1.0",
      (),
      "is not empty: it holds 5.1.0; remov",
    ),
    ("echo > to", (), "cannot write to to: "),
    ("", ("--val-labels", "x"), "holds no images, only folders, which say"),
    (
      "mv from/val/*/* from/val",
      (),
      "is not known: it must be named ILSVRC2012",
    ),
    (
      "mv from/val/*/* from/val",
      ("--val-labels", "x"),
      "--val-labels: no file 'x'",
    ),
    (
      "mv from/val/*/* from/val; echo n01440764 > x",
      ("--val-labels", "x"),
      "has 1 labels; 'from/val' has 6 images",
    ),
    (
      "mv from/val/*/* from/val; yes a b c | head -6 > x",
      ("--val-labels", "x"),
      "line 1 is 'a b c'; it must be WNID in each line, or FILE WNID in each",
    ),
    ("", ("--max-unreadable", "-1"), "--max-unreadable is -1; it must be 0 or"),
    ("", ("--shards", "3"), "unrecognized arguments: --shards 3"),
  ],
)
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(
  here, capfd, change, options, message
):
  subprocess.run(["bash", "-c", change], check=True)
  before = snapshot(here)
  assert message in refusal(capfd, *options)
  assert snapshot(here) == before


def test_another_set_cannot_be_prepared(capfd):
  with pytest.raises(SystemExit) as stopped:
    cli.main(["prepare", "cifar10", "--from", "a", "--to", "b"])
  assert stopped.value.code == 2
  assert "choose from imagenet2012" in capfd.readouterr().err.replace("'", "")


@pytest.mark.parametrize("module", ["array_record", "tensorflow_datasets"])
def test_without_the_packages_the_line_names_the_extra(
  tmp_path, monkeypatch, capfd, module
):
  monkeypatch.chdir(tmp_path)
  for name in ("array_record", "tensorflow_datasets"):
    there = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, None if name == module else there)
  line = refusal(capfd)
  assert f"jnas prepare needs {module}" in line
  assert "pip install 'jnas[prepare]'" in line


@pytest.fixture
def small_disk(here):
  """`to` on a file system of 1 MB."""
  (here / "to").mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(here / "to")]
  if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
    pytest.skip("needs the right to mount a file system")
  yield here / "to"
  subprocess.run(["umount", "-l", str(here / "to")], check=True)


def test_a_full_disk_is_one_line_and_the_command_goes_on(small_disk, capfd):
  other = small_disk / "other"
  other.write_bytes(bytes(shutil.disk_usage(small_disk).free - 100_000))
  line = refusal(capfd, code=1)
  assert line.startswith("cannot write to/imagenet2012/incomplete.5.1.0/imagen")
  assert line.endswith("; the same command goes on from there")
  assert "No space left on device, " in line
  other.unlink()
  assert run()["train"] == 15


def test_real_images_are_prepared_and_read(
  packages, tmp_path, monkeypatch, capfd
):
  if not SAMPLES.exists():
    pytest.skip(f"no {SAMPLES}")
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  with zipfile.ZipFile(SAMPLES) as archive:
    archive.extractall(tmp_path)
  shutil.move("tiny64", "from")
  with pytest.raises(SystemExit) as done:
    cli.main(
      ["prepare", "imagenet2012", "--from", "from", "--to", "to", "--json"]
    )
  assert done.value.code == 0
  result = json.loads(capfd.readouterr().out)
  assert (result["train"], result["validation"]) == (300, 100)
  assert (result["classes"], result["unreadable"]) == (10, 0)
  found = stored(monkeypatch)
  assert {name for _, name, _ in found["train"]} == {
    path.name for path in (tmp_path / "from" / "train").rglob("*.JPEG")
  }
  stream = streaming.Stream(mode="auto", crop_scale=0.08, eval_crop=0.875)
  dataset = data.load("imagenet2012", limit=50, image_size=32, stream=stream)
  np.testing.assert_array_equal(
    np.bincount(dataset.train.labels)[np.unique(dataset.train.labels)], [5] * 10
  )
