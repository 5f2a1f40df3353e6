"""Training a class for every pixel: learning, resuming, backbones."""

import dataclasses
import errno
import io
import json
import os
import pathlib
import shutil

import jax
import jax.export
import numpy as np
import pytest

from jnas import cli, config, genotype
from jnas.pipeline import evaluate, export, segment, stage
from jnas.training import checkpoint
from tests.data import scenes
from tests.pipeline import tiny, tiny_segment
from tests.pipeline.devices_test import numbers_of, run

ALWAYS = 1e-9
TINY = pathlib.Path(str(tiny_segment.__file__))


def with_source(source, settings=None, **changes):
  settings = settings or tiny_segment.get_config()
  return dataclasses.replace(
    settings,
    data=dataclasses.replace(settings.data, source=source),
    segment=dataclasses.replace(settings.segment, **changes),
  )


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
  folder = tmp_path_factory.mktemp("scenes")
  return scenes.write_voc(folder / "voc", train=12, test=6)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, compile_cache, source) -> pathlib.Path:
  """The run folder of an uninterrupted training."""
  workdir = tmp_path_factory.mktemp("segmented")
  segment.run(with_source(source), workdir, genotype=tiny_segment.GENOTYPE)
  return workdir


def test_a_short_run_learns_what_lies_where(tmp_path):
  source = scenes.write_npz(tmp_path / "set.npz", train=96, test=30)
  settings = with_source(
    source,
    output_stride=8,
    rates=(1, 2, 3),
    features=32,
    crop_size=64,
    scale_min=0.8,
    scale_max=1.25,
    epochs=12,
    batch_size=8,
    lr=0.1,
  )
  backbone = dataclasses.replace(settings.evaluate, channels=8)
  settings = dataclasses.replace(settings, evaluate=backbone)
  found = segment.run(
    settings, tmp_path / "run", genotype=tiny_segment.GENOTYPE
  )
  # Always "ground" is right in two thirds of the pixels: 0.68 / 4 = 0.17.
  _, masks = scenes.make(30, split="test")
  constant = (masks == 0).sum() / (masks != 255).sum() / 4
  assert 0.1 < constant < 0.2
  assert found.summary["test_miou"] > 0.5
  assert found.summary["test_pixel_accuracy"] > 0.8
  assert len(found.summary["test_iou"]) == len(scenes.CLASSES)
  assert found.class_names == scenes.CLASSES
  mean = np.mean(found.summary["test_iou"])
  assert found.summary["test_miou"] == pytest.approx(mean, rel=1e-5)


def test_a_finished_run_is_returned_as_it_is(finished, source):
  before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
  found = segment.run(with_source(source), finished)
  assert found.summary["steps"] == 6
  assert before == {p: p.stat().st_mtime_ns for p in finished.rglob("*")}


def test_examples_are_images_of_the_test_split_with_a_class_a_pixel(finished):
  found = np.load(finished / "segment" / "examples.npz")
  assert found["images"].shape == (4, 64, 64, 3)
  assert found["labels"].shape == found["predicted"].shape == (4, 64, 64)
  assert found["predicted"].max() < len(scenes.CLASSES)
  np.testing.assert_array_equal(
    found["labels"][0], scenes.make(1, split="test")[1][0]
  )


def test_examples_for_which_there_is_no_room_are_one_line(
  finished, source, tmp_path, monkeypatch, capfd
):
  shutil.copytree(finished, tmp_path / "run")
  path = tmp_path / "run" / "segment" / "examples.npz"
  wanted = path.read_bytes()
  path.unlink()
  records = path.with_name("metrics.jsonl")
  lines = records.read_text().splitlines(keepends=True)
  records.write_text("".join(lines[:-1]))  # without the summary
  fsync = os.fsync

  def fill_up(file: int) -> None:
    if "examples.npz" in os.readlink(f"/proc/self/fd/{file}"):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    fsync(file)

  own = str(pathlib.Path(tiny_segment.__file__))
  given = ["segment", "--config", own, "--data.source", source]
  with monkeypatch.context() as patch:
    patch.setattr(os, "fsync", fill_up)
    with pytest.raises(SystemExit) as done:
      cli.main([*given, "--workdir", str(tmp_path / "run")])
  assert done.value.code
  last = capfd.readouterr().err.splitlines()[-1]
  assert f"cannot write {path}: No space left on device" in last
  assert [file.name for file in path.parent.glob("*examples*")] == []
  segment.run(with_source(source), tmp_path / "run")
  np.testing.assert_array_equal(
    *(np.load(io.BytesIO(c))["labels"] for c in (path.read_bytes(), wanted))
  )


@pytest.mark.parametrize(
  ("seconds", "events"),
  [
    (3600.0, ["segment: step 2", "segment: wrote epoch 0", "segment: step 5"]),
    (ALWAYS, ["segment: saved 2", "segment: tear 5", "segment: tear summary"]),
  ],
)
def test_a_killed_training_ends_as_if_it_had_not_been(
  finished, source, tmp_path, run_killed, seconds, events
):
  settings = with_source(source, checkpoint_seconds=seconds)
  run_killed(
    lambda: segment.run(settings, tmp_path, genotype=tiny_segment.GENOTYPE),
    *events,
  )
  got, wanted = (tiny.results(path, "segment") for path in (tmp_path, finished))
  assert got == wanted
  examples = [
    path / "segment" / "examples.npz" for path in (tmp_path, finished)
  ]
  for name in ("images", "labels", "predicted"):
    np.testing.assert_array_equal(*(np.load(path)[name] for path in examples))


def test_four_devices_train_the_same_network(
  finished, source, tmp_path, compile_cache
):
  file = tmp_path / "cells.json"
  genotype.save(file, tiny_segment.GENOTYPE, provenance={})
  workdir = tmp_path / "run"
  own = pathlib.Path(tiny_segment.__file__)
  run(
    compile_cache,
    "segment",
    *("--config", str(own), "--genotype", str(file), "--devices", "4"),
    *("--workdir", str(workdir), "--data.source", source),
  )
  one, four = (
    tiny.results(path, "segment")["segment"]["metrics"]
    for path in (finished, workdir)
  )
  for wanted, got in zip(one, four, strict=True):
    wanted, got = numbers_of(wanted), numbers_of(got)
    assert wanted.keys() == got.keys()
    for name in wanted:
      # Where two classes are as likely, rounding decides on a pixel.
      within = 1e-4 if name.endswith("loss") else 3e-3
      np.testing.assert_allclose(
        got[name], wanted[name], rtol=within, atol=within, err_msg=name
      )


@pytest.fixture(scope="module")
def trained(tmp_path_factory, compile_cache) -> pathlib.Path:
  """A classifier of the same cells, on other images."""
  workdir = tmp_path_factory.mktemp("trained")
  base = tiny_segment.get_config()
  draw = np.random.default_rng(0)
  arrays = {
    f"{split}_images": draw.integers(0, 256, (8, 32, 32, 3), np.uint8)
    for split in ("train", "test")
  }
  labels = {f"{split}_labels": np.arange(8) % 2 for split in ("train", "test")}
  np.savez(workdir / "set.npz", **arrays, **labels)
  settings = dataclasses.replace(
    base,
    data=config.DataConfig(source=f"npz:{workdir / 'set.npz'}"),
    evaluate=dataclasses.replace(
      base.evaluate, epochs=1, batch_size=4, random_baselines=0, drop_path=0.0
    ),
  )
  evaluate.run(settings, workdir / "run", genotype=tiny_segment.GENOTYPE)
  return workdir / "run"


@pytest.fixture
def begun(monkeypatch) -> list:
  """The states that trainings begin with."""
  seen = []
  place = stage.place

  def note(state, *splits, **options):
    seen.append(jax.device_get(state))
    return place(state, *splits, **options)

  monkeypatch.setattr(stage, "place", note)
  return seen


def test_a_backbone_brings_its_weights_and_statistics(
  trained, source, tmp_path, begun
):
  settings = with_source(source, backbone=str(trained), epochs=1)
  found = segment.run(settings, tmp_path)
  assert found.summary["inherited"]
  assert genotype.load(tmp_path / "genotype.json") == tiny_segment.GENOTYPE
  hashed = json.loads((trained / "config.json").read_text())["hash"]
  with checkpoint.Checkpoints(
    trained / "evaluate" / "checkpoints", config_hash=hashed, keep=1
  ) as checkpoints:
    arrays = checkpoints.arrays()
  (state,) = begun
  for path in ("stem/conv_0/kernel", "cell_2/input_0/reduce/conv_1/kernel"):
    value = state.params
    for name in path.split("/"):
      value = value[name]
    np.testing.assert_array_equal(value, arrays[f"params/{path}"])
  mean = state.batch_stats["stem"]["norm_0"]["mean"]
  np.testing.assert_array_equal(mean, arrays["batch_stats/stem/norm_0/mean"])
  assert np.abs(mean).max() > 0  # it was trained


def test_a_backbone_that_does_not_fit_is_refused_before_anything(
  trained, source, tmp_path
):
  for changes, said in (
    ({"channels": 6}, "evaluate.channels is 6; with segment.backbone"),
    ({"cells": 4}, "evaluate.cells is 4; with segment.backbone"),
  ):
    settings = with_source(source, backbone=str(trained))
    other = dataclasses.replace(settings.evaluate, **changes)
    with pytest.raises(ValueError, match=said):
      segment.run(
        dataclasses.replace(settings, evaluate=other), tmp_path / "run"
      )
  settings = with_source(source, backbone=str(trained))
  with pytest.raises(ValueError, match="a network of another genotype"):
    segment.run(settings, tmp_path / "run", genotype=genotype.parse("DARTS_V2"))
  untrained = tmp_path / "untrained"
  shutil.copytree(trained, untrained, ignore=shutil.ignore_patterns("evaluate"))
  settings = with_source(source, backbone=str(untrained))
  with pytest.raises(FileNotFoundError, match="has no trained network"):
    segment.run(settings, tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_the_command_prints_one_object(finished, source, capfd):
  own = str(pathlib.Path(tiny_segment.__file__))
  given = ["--config", own, "--data.source", source, "--json"]
  with pytest.raises(SystemExit) as done:
    cli.main(["segment", *given, "--workdir", str(finished)])
  assert done.value.code == 0
  found = json.loads(capfd.readouterr().out)
  assert list(found["test_iou"]) == list(scenes.CLASSES)
  assert 0 <= found["test_miou"] <= found["best_test_miou"] <= 1


def test_the_network_is_exported_with_its_head(finished, tmp_path):
  pytest.importorskip("flatbuffers")
  pytest.importorskip("safetensors")
  options = ["--network", "segmented", "--out", str(tmp_path)]
  export.run(export.parse([str(finished), *options]))  # compares each file
  assert not (tmp_path / "network.py").exists()
  blob = bytearray((tmp_path / "network.stablehlo").read_bytes())
  images = np.zeros((3, 64, 64, 3), np.float32)
  logits = jax.export.deserialize(blob).call(images)
  assert logits.shape == (3, 64, 64, len(scenes.CLASSES))
  with np.load(tmp_path / "network.npz") as arrays:
    names = set(arrays)
  assert "params/stem/conv_0/kernel" in names
  assert any(name.startswith("params/deeplab/") for name in names)
  card = (tmp_path / "MODEL_CARD.md").read_text()
  summary = export.folder.summary(finished / "segment")
  assert f"last epoch | {summary['test_miou']:.2%} (test split, 6 im" in card
  assert "| search | none: the genotype was given |" in card


@pytest.mark.parametrize(
  ("options", "said"),
  [
    (("--formats", "python"), "network.py cannot be written: it is for"),
    (("--weights", "best"), "--weights is 'best'; of a network for pixels"),
  ],
)
def test_what_a_network_for_pixels_has_not_is_refused(
  finished, tmp_path, options, said
):
  out = tmp_path / "out"
  given = ["--network", "segmented", "--out", str(out), *options]
  with pytest.raises(ValueError, match=said):
    export.run(export.parse([str(finished), *given]))
  assert not out.exists()


@pytest.mark.parametrize("name", ["segment_voc2012", "segment_small"])
def test_shipped_configs_make_networks(name, source):
  settings = with_source(source, config.load(name), train_list="train")
  settings = dataclasses.replace(
    settings, segment=dataclasses.replace(settings.segment, batch_size=4)
  )
  found = segment.prepare(settings)
  net = segment.build(found, genotype.parse("DARTS_V2"))
  assert net.head.output_stride == settings.segment.output_stride


def test_the_plan_counts_what_the_training_does(finished, tmp_path, capsys):
  # Two images are left over in each epoch, as in no batch of the training.
  source = scenes.write_voc(tmp_path / "voc", train=14, test=6)
  cell = tmp_path / "cell.json"
  cell.write_text(genotype.to_json(tiny_segment.GENOTYPE))
  arguments = ["plan", "--segment", "--genotype", str(cell), "--json"]
  with pytest.raises(SystemExit) as exit_info:
    cli.main([*arguments, "--config", str(TINY), "--data.source", source])
  assert exit_info.value.code == 0
  planned = json.loads(capsys.readouterr().out)["segment"]
  *_, trained = map(
    json.loads, (finished / "segment" / "metrics.jsonl").open(encoding="utf-8")
  )
  for name in ("params", "head_params", "steps"):
    assert planned[name] == trained[name]
  # 3 batches of 4 images to train on and 2 to measure on, twice.
  steps_s = 3 * planned["step_s"] + 2 * planned["test_step_s"]
  assert planned["eta_s"] == pytest.approx(2 * steps_s)


def test_the_step_is_measured_without_images(source, capsys):
  arguments = ["bench", "segment", "--config", str(TINY), "--repeats", "1"]
  with pytest.raises(SystemExit) as exit_info:
    cli.main([*arguments, "--data.source", source, "--json"])
  assert exit_info.value.code == 0
  found = json.loads(capsys.readouterr().out)
  assert found["batch"] == 4
  assert found["images_per_s"] == pytest.approx(4 / found["step_s"])
  assert found["peak_bytes"] > 0
