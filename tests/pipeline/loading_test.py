"""How fast streamed images come, through the command line."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from jnas import cli
from jnas.pipeline import loading, problem
from tests.pipeline import tiny


@pytest.fixture(scope="module")
def arguments(tmp_path_factory) -> tuple[str, ...]:
  """Options that stream a few images of a folder."""
  root = tmp_path_factory.mktemp("images")
  for split in ("train", "val"):
    for label, value in (("a", 10), ("b", 200)):
      folder = root / split / label
      folder.mkdir(parents=True)
      for index in range(20):
        image = Image.fromarray(np.full((6, 6, 3), value + index, np.uint8))
        image.save(folder / f"{index}.png")
  return (
    *("--config", str(pathlib.Path(tiny.__file__)), "--json"),
    *("--data.source", f"folder:{root}", "--data.stream", "on"),
    *("--data.limit", "0", "--data.test_limit", "0"),
  )


def call(capsys, *arguments: str) -> tuple[int, str, str]:
  with pytest.raises(SystemExit) as caught:
    cli.main(arguments)
  out, err = capsys.readouterr()
  return int(caught.value.code or 0), out, err


def test_bench_data_gives_images_a_second(arguments, capsys):
  code, out, err = call(capsys, "bench", "data", *arguments, "--repeats", "1")
  assert code == 0, err
  found = json.loads(out)
  assert found["images_per_s"] > 0 and found["eval_images_per_s"] > 0
  assert found["image_shape"] == [4, 4, 3]
  assert found["threads"] >= 1


def test_bench_data_refuses_images_that_are_kept_on_the_device(
  arguments, capsys
):
  code, out, err = call(
    capsys, "bench", "data", *arguments, "--data.stream", "off"
  )
  assert (code, out) == (2, "")
  assert err.count("\n") == 1 and "data.stream is 'off'" in err


def test_plan_says_what_waits_for_images(arguments, monkeypatch):
  found = stub(monkeypatch, rate=100.0)
  got = loading.plan(found, {"images_per_s": 50.0}, {"images_per_s": 400.0})
  assert got["waits_for_images"] == ["evaluate"]
  assert got["says"].startswith(
    "the bottleneck: evaluate runs at 25% of its speed"
  )
  got = loading.plan(found, {"images_per_s": 50.0}, {"images_per_s": 40.0})
  assert got["waits_for_images"] == []
  assert (got["search_takes"], got["evaluate_takes"]) == (50.0, 40.0)


def test_plan_goes_on_without_the_images(monkeypatch):
  def missing(found):
    raise FileNotFoundError("imagenet2012 is not prepared")

  found = stub(monkeypatch, rate=100.0)
  monkeypatch.setattr(problem, "load_data", missing)
  got = loading.plan(found, {"images_per_s": 5.0}, {"images_per_s": 4.0})
  assert got["images_per_s"] is None and got["waits_for_images"] is None
  assert got["says"] == "not measured: imagenet2012 is not prepared"


def stub(monkeypatch, *, rate: float):
  """A problem whose images come at a rate."""
  found = problem.prepare(tiny.get_config())
  monkeypatch.setattr(problem, "load_data", lambda found: None)
  monkeypatch.setattr(loading, "rate", lambda *args, **options: rate)
  return found
