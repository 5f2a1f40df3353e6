"""Streamed images through every stage: as from memory, killed or not."""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from jnas import config as configs
from jnas.data import streamed
from jnas.pipeline import evaluate, problem, search, select
from tests.pipeline import devices_test, processes_test, tiny

ALWAYS = 1e-9


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> pathlib.Path:
  """24 training and 8 test images of two classes."""
  root = tmp_path_factory.mktemp("images")
  random = np.random.default_rng(0)
  for split, count in (("train", 12), ("val", 4)):
    for label in ("a", "b"):
      folder = root / split / label
      folder.mkdir(parents=True)
      for index in range(count):
        pixels = random.integers(0, 256, (7, 6, 3), np.uint8)
        ending = ("png", "jpg")[index % 2]
        Image.fromarray(pixels).save(folder / f"{index:02d}.{ending}")
  return root


def config_of(
  root: pathlib.Path, checkpoint_seconds: float = 3600.0, **changes
) -> configs.Config:
  """The tiny problem, on a folder's images."""
  config = tiny.get_config(
    checkpoint_seconds=checkpoint_seconds, random_baselines=0
  )
  settings = {"stream": "on", "crop_padding": 0, "crop_scale": 0.3} | changes
  return dataclasses.replace(
    config,
    data=configs.DataConfig(source=f"folder:{root}", image_size=4, **settings),
    search=dataclasses.replace(config.search, batch_size=4),
    evaluate=dataclasses.replace(config.evaluate, batch_size=8),
  )


def states(workdir: pathlib.Path) -> dict:
  """Every bit of the last states, and the records."""
  found = tiny.results(workdir, *tiny.STAGES[:2])
  found["genotype"].pop("provenance")  # has the hash of the config
  return found


def run_all(config, workdir):
  search.run(config, workdir)
  evaluate.run(config, workdir)


@pytest.fixture(scope="module")
def cropped(images, compile_cache, tmp_path_factory):
  """A run on random crops of streamed images that nothing stopped."""
  workdir = tmp_path_factory.mktemp("cropped")
  run_all(config_of(images), workdir)
  return workdir


def test_a_streamed_search_is_the_search_on_the_same_images_in_memory(
  images, compile_cache, tmp_path
):
  found = {}
  for stream in ("on", "off"):
    config = config_of(images, stream=stream, crop_scale=0.0)
    search.run(config, tmp_path / stream)
    found[stream] = states(tmp_path / stream)
  assert found["on"] == found["off"]


def test_a_killed_streamed_run_sees_the_same_images_again(
  images, cropped, tmp_path, run_killed
):
  config = config_of(images, ALWAYS)
  run_killed(
    lambda: search.run(config, tmp_path), "search: saved 2", "search: step 5"
  )
  run_killed(lambda: evaluate.run(config, tmp_path), "evaluate: saved 2")
  assert states(tmp_path) == states(cropped)


def test_the_crops_are_the_seeds(images, cropped, tmp_path):
  config = dataclasses.replace(config_of(images), seed=1)
  search.run(config, tmp_path)
  wanted = tiny.results(cropped, "search")["search"]["metrics"][1]
  got = tiny.results(tmp_path, "search")["search"]["metrics"][1]
  assert got["train_loss"] != wanted["train_loss"]


def test_selection_scores_streamed_images_as_those_in_memory(
  images, compile_cache, tmp_path
):
  found = {}
  for stream in ("on", "off"):
    config = config_of(images, stream=stream, crop_scale=0.0)
    config = dataclasses.replace(
      config,
      selection=configs.SelectionConfig(
        name="perturbation", batch_size=5, tune_epochs=1
      ),
    )
    search.run(config, tmp_path / stream)
    summary = select.run(config, tmp_path / stream).summary
    file = tmp_path / stream / "selection" / "metrics.jsonl"
    records = tiny.metrics.MetricsFile(file).read()
    found[stream] = (
      [
        (record["accuracy"], record["loss"])
        for record in records
        if record["kind"] == "trial"
      ],
      summary["genotype"],
      summary["child_loss"],
    )
  assert found["on"][0]
  assert found["on"] == found["off"]


def test_too_many_unreadable_images_end_the_run(images, tmp_path):
  root = tmp_path / "images"
  shutil.copytree(images, root)
  for path in sorted((root / "train").rglob("*.png"))[:4]:
    path.write_bytes(b"")
  with pytest.raises(streamed.UnreadableError, match="max_unreadable is 3"):
    search.run(config_of(root, max_unreadable=3), tmp_path / "run")


def test_some_unreadable_images_are_skipped(
  images, compile_cache, tmp_path, capsys
):
  root = tmp_path / "images"
  shutil.copytree(images, root)
  (root / "train" / "a" / "00.png").write_bytes(b"none")
  (root / "val" / "b" / "01.jpg").write_bytes(b"none")
  summary = search.run(config_of(root), tmp_path / "run").summary
  assert np.isfinite(summary["train_accuracy"])
  told = " ".join(capsys.readouterr().err.split())
  assert told.count("00.png") == 1


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"stream": "off"}, "data.stream must be 'auto' or 'on', found 'off'"),
    ({"crop_padding": 4}, "crop_padding is 4; with data.crop_scale it must"),
    ({"crop_scale": 0.0, "eval_crop": 0.9}, "without data.crop_scale"),
    ({"crop_scale": 1.5}, "must be in 0 <= x <= 1"),
    ({"crop_ratio": 0.5}, "must be in 1 <= x <= 10"),
    ({"eval_crop": 0.0}, "must be in 0 < x <= 1"),
    ({"hue": 0.6}, "must be in 0 <= x <= 0.5"),
    ({"jitter": -0.1}, "must be in 0 <= x <= 1"),
    ({"max_unreadable": -1}, "must be 0 or more"),
  ],
)
def test_settings_without_meaning_are_refused(images, changes, words):
  with pytest.raises(ValueError, match=words):
    problem.prepare(config_of(images, **changes))


def test_two_processes_see_the_images_of_one(images, compile_cache, tmp_path):
  options = (
    *("--data.source", f"folder:{images}", "--data.stream", "on"),
    *("--data.limit", "0", "--data.test_limit", "0"),
    *("--data.crop_scale", "0.3", "--data.crop_padding", "0"),
    *("--search.batch_size", "4", "--search.epochs", "1"),
  )
  one, two = tmp_path / "one", tmp_path / "two"
  devices_test.run(compile_cache, "search", "--workdir", str(one), *options)
  arguments = ("search", "--workdir", str(two), *options)
  with processes_test.Launched(compile_cache, 2, *arguments) as both:
    ended = both.finish()
  assert [code for code, *_ in ended] == [0, 0], ended
  devices_test.assert_same(two, one, "search")
