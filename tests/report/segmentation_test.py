"""What the report shows of a class for every pixel."""

import json

import numpy as np
import pytest

from jnas.report import findings, folder, page, picture, segmentation


@pytest.fixture
def run_path(tmp_path, monkeypatch):
  """A run that segmented for two epochs; one class is nowhere."""
  monkeypatch.setattr(picture, "PNG_DPI", 30)
  path = tmp_path / "segmented"
  (path / "segment").mkdir(parents=True)
  config = {"segment": {"epochs": 2}, "data": {"source": "voc:<VOC>"}}
  (path / "config.json").write_text(json.dumps({"config": config}))
  records = [
    {
      "kind": "header",
      "split_sizes": {"train": 12, "test": 6},
      "class_names": ["ground", "<cat>", "dog"],
    }
  ]
  for epoch, miou in enumerate((0.55, 0.5)):
    records.append(
      {
        "kind": "epoch",
        "epoch": epoch,
        "step": epoch + 1,
        "test_miou": miou,
        "test_iou": [0.75, 0.25, None],
        "test_pixel_accuracy": 0.8,
        "train_pixel_accuracy": 0.9,
        "test_loss": 0.5,
        "train_loss": 0.4,
        "seconds": 3.0,
      }
    )
  records.append(
    {
      "kind": "summary",
      "test_miou": 0.5,
      "best_test_miou": 0.55,
      "params": 39_400,
      "head_params": 35_332,
      "inherited": True,
    }
  )
  file = path / "segment" / "metrics.jsonl"
  file.write_text("".join(json.dumps(record) + "\n" for record in records))
  draw = np.random.default_rng(0)
  np.savez(
    path / "segment" / "examples.npz",
    images=draw.integers(0, 256, (2, 16, 16, 1), np.uint8),
    labels=draw.choice(np.array([0, 1, 255], np.uint8), (2, 16, 16)),
    predicted=draw.integers(0, 3, (2, 16, 16), np.uint8),
  )
  return path


def test_the_page_shows_final_and_best_apart_and_every_class(run_path):
  text = page.write(run_path).read_text()
  assert "The cell segments test images with a mIoU of 50.00 %." in text
  for shown in ("mIoU, last epoch", "mIoU, best epoch", "55.00 %", "35,332"):
    assert shown in text
  assert "&lt;cat&gt;" in text and "<cat>" not in text
  assert "75.00 %" in text and "a trained backbone" in text
  assert "No network has been retrained yet" not in text
  names = {path.name for path in (run_path / "report").iterdir()}
  assert {"segment_miou.svg", "segment_examples.png"} <= names
  assert findings.status(folder.read(run_path)) == "complete"


def test_a_run_under_way_says_where_it_is(run_path):
  file = run_path / "segment" / "metrics.jsonl"
  lines = file.read_text().splitlines(keepends=True)
  file.write_text("".join(lines[:2]))
  (run_path / "segment" / "examples.npz").unlink()
  run = folder.read(run_path)
  assert findings.status(run) == "segmentation: epoch 1 of 2"
  assert findings.headline(run).endswith("mIoU of 55.00 % after epoch 1 of 2.")
  assert set(segmentation.draw(run)) > {"segment_miou"}
  page.write(run_path)


def test_damaged_examples_are_told_of(run_path):
  (run_path / "segment" / "examples.npz").write_bytes(b"x")
  run = folder.read(run_path)
  assert run.segment_examples == {}
  assert any("examples.npz cannot be read" in fault for fault in run.faults)
  page.write(run_path)
