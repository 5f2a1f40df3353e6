"""SPEC 4.7, I2: the table of NAS-Bench-201, and what a wrong one is told."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from jnas import bench
from jnas.bench import nasbench201_table
from jnas.genotype import (
  NASBENCH201_OPS,
  from_nasbench201,
  from_nasbench201_index,
  to_nasbench201,
)
from tests.bench.tables import strings, write_table

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "nasbench201.md"


def test_the_strings_of_all_15625_cells_are_those_of_their_genotypes():
  for index, text in enumerate(strings()):
    genotype = from_nasbench201_index(index)
    assert to_nasbench201(genotype) == text
    assert from_nasbench201(text) == genotype
  assert len(set(strings())) == bench.NUM_CELLS == 15_625


def test_strings_and_operations_of_the_real_table_are_the_same_cells(shared):
  with np.load(shared / "data" / "nasbench201.npz") as arrays:
    assert tuple(arrays["op_names"]) == NASBENCH201_OPS
    # Edge by edge as in SPEC 1.3; the first is the most significant digit.
    index = arrays["ops"].astype(int) @ 5 ** np.arange(5, -1, -1)
  real = bench.load(shared / "data" / "nasbench201.npz")
  np.testing.assert_array_equal(real.rows[index], np.arange(15_625))
  assert [strings()[i] for i in index] == list(real.strings)


def test_equal_accuracies_share_the_best_rank(tmp_path):
  accuracies = np.full(15_625, 50.0)
  accuracies[[3, 9]] = 60.0
  table = bench.load(
    write_table(tmp_path / "ties.npz", cifar10_test_200=accuracies)
  )
  assert table.score(3, "cifar10") == table.score(9, "cifar10")
  assert table.score(9, "cifar10") == bench.Score(60.0, 1, 0.0)
  assert table.score(0, "cifar10") == bench.Score(50.0, 3, 10.0)


def twice(values: list[str]) -> np.ndarray:
  return np.array([values[0], *values[:-1]])


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"arch_str": None}, "lacks arch_str; wanted arch_str, cifar10_test_200"),
    ({"cifar10_test_200": None}, "lacks cifar10_test_200; wanted"),
    ({"cifar10_test_200": np.ones(9)}, r"shape \(9,\); it must be \(15625,\)"),
    ({"params": np.ones((15_625, 1), int)}, r"params has the shape \(15625, 1"),
    ({"arch_str": np.zeros(15_625)}, "arch_str is of dtype float64; it must"),
    (
      {"arch_str": np.array(["|noise~0|"] + strings()[1:])},
      r"arch_str\[0\] is '\|noise~0\|', which is no cell",
    ),
    ({"arch_str": twice(strings())}, "rows 0 and 1 of arch_str are the same"),
    (
      {"cifar10_test_200": np.linspace(0, 0.94, 15_625)},
      "values from 0.0 to 0.94; they must be accuracies in percent",
    ),
    ({"cifar100_test_200": np.full(15_625, np.nan)}, "nan to nan; they must"),
    ({"cifar100_test_200": np.full(15_625, 101.0)}, "101.0 to 101.0; they"),
    ({"cifar100_test_200": np.array(strings())}, "of dtype <U.*, not numbers"),
    ({"macs": np.zeros(15_625, int)}, "macs must be whole numbers above 0"),
  ],
)
def test_a_table_without_meaning_is_one_clear_line(tmp_path, changes, message):
  path = write_table(tmp_path / "odd.npz", **changes)
  with pytest.raises(ValueError, match=message) as caught:
    bench.load(path)
  assert "\n" not in str(caught.value)
  assert str(path) in str(caught.value)


def test_a_file_that_is_no_archive_is_one_clear_line(tmp_path):
  with pytest.raises(FileNotFoundError, match="no NAS-Bench-201 table at"):
    bench.load(tmp_path / "absent.npz")
  text, array = tmp_path / "text.npz", tmp_path / "array.npy"
  text.write_text("arch_str,accuracy\n")
  np.save(array, np.zeros(15_625))
  pickled, cut = tmp_path / "pickled.npz", tmp_path / "cut.npz"
  np.savez(pickled, arch_str=np.array([{}], dtype=object))
  whole = write_table(tmp_path / "whole.npz").read_bytes()
  cut.write_bytes(whole[: len(whole) // 2])
  damaged = tmp_path / "damaged.npz"
  damaged.write_bytes(whole[:2000] + b"\xff" * 8 + whole[2008:])
  for path in (text, array, pickled, cut, damaged, tmp_path):
    with pytest.raises(ValueError, match=r"not a NumPy archive \(.npz\)") as e:
      bench.load(path)
    assert "\n" not in str(e.value)


FAKE_API = '''
"""Answers as the official package does, of made-up numbers."""

import itertools

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
CELLS = [
  "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*ops)
  for ops in itertools.product(OPS, repeat=6)
]


class Api:
  def arch(self, index):
    return CELLS[index]

  def get_more_info(self, index, dataset, iepoch=None, hp="12", is_random=True):
    assert hp == "200" and is_random is False
    test = {"cifar10": 90, "cifar100": 70, "ImageNet16-120": 40}
    info = {"train-accuracy": 99.0}
    if dataset in test:
      info["test-accuracy"] = test[dataset] + index / 1e5
    if dataset != "cifar10":
      info["valid-accuracy"] = 30 + index / 1e5
    return info

  def get_cost_info(self, index, dataset, hp="12"):
    return {"flops": 7.78305, "params": 0.073306, "latency": None}


def create(file_path, search_space, fast_mode=False, verbose=True):
  assert (file_path, search_space, fast_mode) == ("archive", "tss", True)
  return Api()
'''


def test_the_script_of_the_documentation_writes_a_table(tmp_path):
  (script,) = re.findall(
    r"```python\n(import sys.*?)```", DOCS.read_text(), re.S
  )
  assert len(script.splitlines()) <= 30
  (tmp_path / "make_table.py").write_text(script)
  (tmp_path / "nats_bench.py").write_text(FAKE_API)
  subprocess.run(
    [sys.executable, "make_table.py", "archive"], cwd=tmp_path, check=True
  )
  table = bench.load(tmp_path / "nasbench201.npz")
  assert list(table.accuracies) == list(nasbench201_table.ACCURACY_KEYS)
  entry = bench.lookup(table, from_nasbench201_index(100))
  found = {name: score.accuracy for name, score in entry.scores.items()}
  assert found == pytest.approx(
    {
      "cifar10": 90.001,
      "cifar100": 70.001,
      "imagenet16": 40.001,
      "cifar10_valid": 30.001,
      "cifar100_valid": 30.001,
      "imagenet16_valid": 30.001,
    }
  )
  assert (entry.index, entry.params, entry.macs) == (100, 73_306, 7_783_050)


def test_the_documentation_names_every_key_and_its_python_runs(
  shared, monkeypatch, tmp_path, capsys
):
  text = DOCS.read_text()
  accuracies = nasbench201_table.ACCURACY_KEYS.values()
  for key in (*accuracies, *nasbench201_table.COST_KEYS):
    assert f"`{key}`" in text
  (code,) = re.findall(r"```python\n(from jnas.*?)```", text, re.S)
  (tmp_path / "nasbench201.npz").symlink_to(shared / "data" / "nasbench201.npz")
  monkeypatch.chdir(tmp_path)
  exec(code, {})
  assert capsys.readouterr().out.startswith("6111 Score(accuracy=94.37")
