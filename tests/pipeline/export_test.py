"""An exported network runs where there is no jnas, with the same logits."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from jnas import cli, data
from jnas.data import augment
from jnas.export import files
from jnas.pipeline import export, exportable
from tests.pipeline import tiny

pytest.importorskip("flatbuffers")
pytest.importorskip("safetensors")

# jnas cannot be imported in it, wherever it is installed.
PROGRAM = """
import sys
sys.modules["jnas"] = None
import json, pathlib, jax.export, numpy as np
folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))
import network
pixels = np.load(folder / "pixels.npy")
images = network.normalize(pixels)
blob = bytearray((folder / "network.stablehlo").read_bytes())
exported = jax.export.deserialize(blob)
found = {
  "python": network.predict(pixels),
  "stablehlo": exported.call(images),
  "one": exported.call(images[:1]),
}
found = {name: np.asarray(value).tolist() for name, value in found.items()}
found["platforms"] = exported.platforms
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def exported(reference, tmp_path_factory) -> pathlib.Path:
  out = tmp_path_factory.mktemp("export") / "new"
  export.run(export.parse([str(reference), "--out", str(out)]))
  return out


def own_logits(workdir: pathlib.Path, pixels: np.ndarray) -> np.ndarray:
  """By the network of the run, from its checkpoint."""
  run_folder = export.folder.open_run(tiny.get_config(), workdir)
  network = exportable.find(run_folder, "searched")
  trained = exportable.load(run_folder, network, "searched", best=False).trained
  images = augment.normalize(pixels, trained.facts.mean, trained.facts.std)
  return np.asarray(jax.jit(trained.logits)(images))


def test_what_is_exported_runs_without_jnas(reference, exported):
  settings = tiny.get_config().data
  dataset = data.load(
    settings.source,
    limit=settings.limit,
    test_limit=settings.test_limit,
    image_size=settings.image_size,
  )
  pixels = dataset.test.images[:7]
  np.save(exported / "pixels.npy", pixels)
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM, str(exported)],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  found = json.loads(done.stdout)
  own = own_logits(reference, pixels)
  atol = 1e-5 * np.abs(own).max()
  np.testing.assert_allclose(found["python"], own, atol=atol)
  np.testing.assert_allclose(found["stablehlo"], own, atol=atol)
  np.testing.assert_allclose(found["one"], own[:1], atol=atol)
  assert found["platforms"] == ["cpu", "cuda", "tpu"]
  # The run's own measure is of these logits: 20 test images, 7 of them here.
  labels = dataset.test.labels[:7]
  hits = (own.argmax(-1) == labels).sum()
  summary = export.folder.summary(reference / "evaluate")
  total = round(20 * summary["test_accuracy"])
  assert 0 <= total - hits <= 13


def run_network(folder: pathlib.Path, *arguments: str) -> tuple[int, str, str]:
  done = subprocess.run(
    [sys.executable, "network.py", *arguments],
    cwd=folder,
    capture_output=True,
    text=True,
    check=False,
  )
  return done.returncode, done.stdout, done.stderr


def test_the_python_file_names_the_classes_of_arrays_and_pictures(exported):
  pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 1), np.uint8)
  np.save(exported / "two.npy", pixels)
  Image.fromarray(pixels[1, :, :, 0]).save(exported / "one.png")
  code, out, err = run_network(exported, "two.npy", "one.png")
  assert code == 0, err
  first, second, again = out.splitlines()
  assert second == again
  assert {first, second} <= set(data.load("fashion_mnist_mini").class_names)
  np.save(exported / "large.npy", np.zeros((2, 8, 8, 1), np.uint8))
  code, out, err = run_network(exported, "large.npy")
  assert (code, out) == (1, "")
  assert err == "large.npy: images are (2, 8, 8, 1), wanted (N, *(4, 4, 1))\n"
  assert run_network(exported)[2].startswith("usage: python network.py IMAGES")


def test_the_cards_snippet_runs_as_it_stands(exported):
  text = (exported / "MODEL_CARD.md").read_text()
  (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
  np.save(exported / "images.npy", np.full((3, 4, 4, 1), 7, np.uint8))
  done = subprocess.run(
    [sys.executable, "-c", snippet + "print(classes.shape)"],
    cwd=exported,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.stdout == "(3,)\n", done.stderr


def test_the_card_tells_the_numbers_and_their_split(reference, exported):
  text = (exported / "MODEL_CARD.md").read_text()
  summary = export.folder.summary(reference / "evaluate")
  accuracy = f"{summary['test_accuracy']:.2%} (test split, 20 images)"
  assert f"| test accuracy, last epoch | {accuracy} |" in text
  assert f"| parameters | {summary['params']:,} |" in text
  assert "MIT, (c) 2017 Zalando SE" in text
  assert "`[N, 4, 4, 1]` (NHWC), float32" in text
  assert "Genotype(normal=[" in text
  for kind in files.FORMATS.values():
    assert f"| `{kind.file}` | {kind.what} | " in text


def test_a_baseline_is_exported_by_its_name(reference, tmp_path):
  options = ["--network", "random_0", "--formats", "npz"]
  export.run(export.parse([str(reference), "--out", str(tmp_path), *options]))
  assert {path.name for path in tmp_path.iterdir()} == {
    "network.npz",
    "MODEL_CARD.md",
  }
  card = (tmp_path / "MODEL_CARD.md").read_text()
  assert "none: a random genotype, trained as a baseline" in card


def test_the_weights_of_the_best_epoch_are_exported_by_name(
  reference, tmp_path
):
  records = export.metrics.MetricsFile(
    reference / "evaluate" / "metrics.jsonl"
  ).read()
  epochs = [record for record in records if record["kind"] == "epoch"]
  best = max(epochs, key=lambda record: record["test_accuracy"])
  options = ["--out", str(tmp_path), "--formats", "npz"]
  export.run(export.parse([str(reference), *options, "--weights", "best"]))
  card = (tmp_path / "MODEL_CARD.md").read_text()
  assert "searched, best epoch, network" in card
  assert f"best epoch | {best['test_accuracy']:.2%} (picked on the" in card
  assert "these are its weights" in card
  steps = reference / "evaluate" / "checkpoints"
  assert {int(path.name) for path in steps.iterdir()} >= {best["step"], 6}


def test_a_file_that_computes_something_else_is_an_error(
  reference, tmp_path, monkeypatch, capsys
):
  npz = files.FORMATS["npz"]

  def run(path, trained, images):
    return npz.run(path, trained, images) + 0.01

  monkeypatch.setitem(files.FORMATS, "npz", npz._replace(run=run))
  command = ["export", str(reference), "--out", str(tmp_path)]
  with pytest.raises(SystemExit) as done:
    cli.main([*command, "--formats", "npz"])
  assert done.value.code == 1
  lines = capsys.readouterr().err.splitlines()
  assert "network.npz differs from the network by" in lines[-1]


def test_difference_is_relative_to_the_largest_logit():
  own = np.array([[1.0, -4.0], [2.0, 0.0]])
  # 0.02 at most, over 4.
  other = own + np.array([[0.01, 0.0], [0.0, -0.02]])
  assert export.difference(own, other) == pytest.approx(0.005)
  assert export.difference(own, own[:1]) == float("inf")
  assert export.difference(own, own * np.nan) == float("inf")


@pytest.mark.parametrize(
  ("options", "said"),
  [
    (["--formats", "onnx"], "unknown format 'onnx'; known are stablehlo, npz"),
    (["--network", "best"], "--network is 'best'; it must be one of searched"),
    (["--network", "random_7"], "no trained network in"),
    (["--weights", "first"], "argument --weights: invalid choice: 'first'"),
    (["--which", "best"], "unrecognized arguments: --which best"),
  ],
)
def test_bad_options_give_one_line(reference, options, said, capsys):
  with pytest.raises(SystemExit) as done:
    cli.main(["export", str(reference), *options])
  assert done.value.code == 2
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 1 and said in lines[0]


def test_a_run_without_an_evaluation_is_refused(reference, tmp_path, capsys):
  shutil.copy(reference / "config.json", tmp_path)
  with pytest.raises(SystemExit) as done:
    cli.main(["export", str(tmp_path)])
  assert done.value.code == 2
  said = capsys.readouterr().err
  assert "run `jnas evaluate` to its end first" in said
  assert len(said.splitlines()) == 1
  assert not (tmp_path / "export").exists()


def test_a_format_whose_package_is_missing_is_refused(monkeypatch, tmp_path):
  monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: None)
  with pytest.raises(ValueError, match="pip install 'jnas\\[export\\]'"):
    export.run(export.parse([str(tmp_path), "--formats", "safetensors"]))
