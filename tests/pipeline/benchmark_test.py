"""`jnas benchmark`: accuracies, ranks and regrets of given cells."""

import argparse
import json

import numpy as np
import pytest

from jnas import bench
from jnas import genotype as genotypes
from jnas.genotype import from_nasbench201_index
from jnas.pipeline import benchmark


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  """A table whose cell of index i is i / 200 percent good."""
  path = tmp_path_factory.mktemp("table") / "made.npz"
  cells = [
    genotypes.to_nasbench201(from_nasbench201_index(i)) for i in range(15_625)
  ]
  accuracies = np.arange(15_625) / 200
  np.savez(
    path,
    arch_str=np.array(cells),
    cifar10_test_200=accuracies,
    cifar100_test_200=accuracies[::-1],
    params=np.arange(1, 15_626),
  )
  return path


def run(path, *texts, as_json):
  benchmark.run(
    argparse.Namespace(table=str(path), genotype=list(texts), json=as_json)
  )


def string_of(index):
  return genotypes.to_nasbench201(from_nasbench201_index(index))


def test_json_is_one_object_with_every_cell_and_their_summary(
  path, tmp_path, capsys
):
  file = tmp_path / "genotype.json"
  genotypes.save(file, from_nasbench201_index(15_600))
  run(path, string_of(15_624), str(file), as_json=True)
  out = capsys.readouterr().out
  assert out.count("\n") == 1
  assert json.loads(out) == {
    "table": str(path),
    "best": {"cifar10": 78.12, "cifar100": 78.12},
    "cells": [
      {
        "arch_str": string_of(15_624),
        "index": 15_624,
        "connected": True,
        "params": 15_625,
        "macs": None,
        "scores": {
          "cifar10": {"accuracy": 78.12, "rank": 1, "regret": 0.0},
          "cifar100": {"accuracy": 0.0, "rank": 15_625, "regret": 78.12},
        },
      },
      {
        "arch_str": string_of(15_600),
        "index": 15_600,
        "connected": True,
        "params": 15_601,
        "macs": None,
        "scores": {
          "cifar10": {"accuracy": 78.0, "rank": 25, "regret": 0.12},
          "cifar100": {"accuracy": 0.12, "rank": 15_601, "regret": 78.0},
        },
      },
    ],
    # Of 78.12 and 78: deviation 0.12 / sqrt 2.
    "summary": {
      "cifar10": {
        "mean": 78.06,
        "deviation": 0.0849,
        "best": 78.12,
        "count": 2,
      },
      "cifar100": {"mean": 0.06, "deviation": 0.0849, "best": 0.12, "count": 2},
    },
  }


def test_a_single_cell_has_no_deviation(path, capsys):
  run(path, string_of(7), as_json=True)
  summary = json.loads(capsys.readouterr().out)["summary"]["cifar10"]
  assert summary == {
    "mean": 0.035,
    "deviation": None,
    "best": 0.035,
    "count": 1,
  }


def test_the_table_for_people_has_a_line_for_each_cell_and_data_set(
  path, capsys
):
  run(path, string_of(15_624), string_of(0), as_json=False)
  out = capsys.readouterr().out
  lines = [line.split() for line in out.splitlines()]
  assert ["1", string_of(15_624)] in lines
  assert ["2", string_of(0)] in lines
  assert "   index 15624, 15,625 parameters\n" in out
  assert "1 parameters, its output does not depend on its input" in out
  assert "1 cifar10 78.12 % 1 of 15,625 0.00".split() in lines
  assert "2 cifar10 0.00 % 15,625 of 15,625 78.12".split() in lines
  # 78.12 and 0: deviation 78.12 / sqrt 2.
  assert "mean cifar10 39.06 ± 55.24 % 39.06".split() in lines


def test_the_trajectory_of_a_search_is_read_from_its_metrics(path, tmp_path):
  table = bench.load(path)
  file = tmp_path / "metrics.jsonl"
  records = [
    {"kind": "header"},
    *(
      {
        "kind": "epoch",
        "epoch": epoch,
        "genotype": genotypes.to_dict(from_nasbench201_index(100 * epoch)),
      }
      for epoch in range(4)
    ),
    {"kind": "epoch", "epoch": 4, "train_loss": 1.0},
    {"kind": "summary"},
  ]
  file.write_text("".join(json.dumps(record) + "\n" for record in records))
  trajectory = benchmark.read_trajectory(table, file)
  assert trajectory.epochs == (0, 1, 2, 3)
  assert trajectory.accuracies("cifar10") == (0.0, 0.5, 1.0, 1.5)
  assert [e.scores["cifar10"].rank for e in trajectory.entries] == [
    15_625 - 100 * epoch for epoch in range(4)
  ]
  again = benchmark.annotate(
    table, [from_nasbench201_index(100 * epoch) for epoch in range(4)]
  )
  assert again == list(trajectory.entries)
  with pytest.raises(FileNotFoundError, match="no metrics at"):
    benchmark.read_trajectory(table, tmp_path / "absent.jsonl")


def test_bad_input_is_one_clear_line_and_prints_nothing(path, capsys):
  for texts, message in (
    (["DARTS_V2"], "not a NAS-Bench-201 cell"),
    ([string_of(3), "absent"], "'absent' is no file, no genotype text"),
    ([string_of(3).replace("none", "mean")], "'mean' is not an operation"),
  ):
    with pytest.raises(ValueError, match=message):
      run(path, *texts, as_json=True)
  with pytest.raises(FileNotFoundError, match="no NAS-Bench-201 table at"):
    run(path.parent / "absent.npz", string_of(0), as_json=True)
  assert capsys.readouterr().out == ""
