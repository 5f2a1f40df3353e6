"""The README's examples are run, as a package beside the user."""

import dataclasses
import importlib
import pathlib
import re
import runpy
import sys

import jax
import numpy as np
import pytest

from jnas import config, data, genotype
from jnas.ops import Settings, Shape
from jnas.pipeline import compatibility, networks, search
from jnas.training import metrics
from tests.papers import estimators_example_test

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"```python\n# (my_lab/\w+\.py)\n(.*?)```", re.DOTALL)
LONGEST = 30


@pytest.fixture
def my_lab(tmp_path, monkeypatch) -> pathlib.Path:
  """The README's files, importable; the folder is the current one."""
  for name, text in BLOCK.findall(README.read_text(encoding="utf-8")):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.chdir(tmp_path)
  yield tmp_path / "my_lab"
  for name in [name for name in sys.modules if name.startswith("my_lab")]:
    del sys.modules[name]


def tiny(source: str) -> config.Config:
  base = config.load("smoke")
  return dataclasses.replace(
    base,
    space="my_lab.spaces:SPACE",
    data=config.DataConfig(source=source, image_size=8, crop_padding=1),
    search=dataclasses.replace(
      base.search, cells=3, channels=2, epochs=1, batch_size=50
    ),
  )


def test_examples_are_short():
  blocks = BLOCK.findall(README.read_text(encoding="utf-8"))
  assert [name for name, _ in blocks] == [
    f"my_lab/{name}.py"
    for name in ("data", "ops", "spaces", "methods", "search")
  ]
  for name, text in blocks:
    assert len(text.splitlines()) < LONGEST, name


def test_combinations_are_those_of_the_tables():
  assert compatibility.table() in README.read_text(encoding="utf-8")


def test_the_estimators_example_is_the_one_that_is_tested():
  assert estimators_example_test.EXAMPLE in README.read_text(encoding="utf-8")


def test_data_of_a_function(my_lab):
  dataset = data.load("my_lab.data:load:3")
  assert dataset.image_shape == (16, 16, 1)
  assert len(dataset.train) == 200 and len(dataset.test) == 100
  means = [
    dataset.train.images[dataset.train.labels == label].mean()
    for label in range(2)
  ]
  assert means[0] + 90 < means[1] < means[0] + 110
  other = data.load("my_lab.data:load:4")
  assert not np.array_equal(dataset.train.images, other.train.images)


@pytest.mark.parametrize("stride", [1, 2])
def test_cost_of_the_operation_is_that_of_its_module(my_lab, stride):
  op = importlib.import_module("my_lab.ops").SWISH_CONV
  settings = Settings(affine=True, pool_norm=False)
  module = op.build(
    features=4, stride=stride, targets=3, settings=settings, name=None
  )
  x = np.ones((1, 2, 8, 8, 4), np.float32)
  y, variables = module.init_with_output(jax.random.key(0), x, train=False)
  assert y.shape == (3, 2, 8 // stride, 8 // stride, 4)
  cost = op.cost(Shape(8, 8, 4), stride, settings)
  trained = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
  assert 3 * cost.params == trained
  assert cost.madds == (8 // stride) ** 2 * 9 * 4 * 4


def test_the_method_searches_the_space(my_lab, compile_cache):
  small = tiny("my_lab.data:load")
  method = config.MethodConfig("my_lab.methods:GATES", {"sharpness": 3.0})
  workdir = my_lab.parent / "run"
  found = search.run(dataclasses.replace(small, method=method), workdir)
  networks.check_genotype(found.genotype)
  (epoch,) = [
    record
    for record in metrics.MetricsFile(workdir / "search/metrics.jsonl").read()
    if record["kind"] == "epoch"
  ]
  gates = np.concatenate([*epoch["mixing"].values()])
  # Each is near a half: nothing makes those of an edge add up to 1.
  assert ((gates == 0) | (abs(gates - 0.5) < 0.1)).all()


def test_space_and_library_call_search(my_lab, monkeypatch, compile_cache):
  small = tiny("my_lab.data:load")
  monkeypatch.setattr(config, "load", lambda name: small)
  namespace = runpy.run_path(str(my_lab / "search.py"))
  found = namespace["found"].genotype
  networks.check_genotype(found)
  assert found == genotype.load(my_lab.parent / "runs/mine/genotype.json")
  assert len(found.normal.nodes) == 3
  names = {op for node in found.normal.nodes for op, _ in node}
  assert names <= {"skip_connect", "sep_conv_3x3", "my_lab.ops:SWISH_CONV"}
