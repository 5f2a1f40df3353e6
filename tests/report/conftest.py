"""A run folder such as a run writes, made of plausible numbers."""

import json
import math
import pathlib
import random
from collections.abc import Callable, Sequence

import pytest

from jnas import genotype as genotype_lib
from jnas.genotype import Cell, Genotype

OPS = (
  "none",
  "max_pool_3x3",
  "avg_pool_3x3",
  "skip_connect",
  "sep_conv_3x3",
  "sep_conv_5x5",
  "dil_conv_3x3",
  "dil_conv_5x5",
)
EDGES = [[source, target] for target in range(2, 6) for source in range(target)]
VERSIONS = {
  "jnas": "0.1.0",
  "python": "3.11.9",
  "jax": "0.10.2",
  "flax": "0.12.8",
  "optax": "0.2.8",
}


@pytest.fixture
def make_run(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
  """A function that writes a run folder and returns it; see `write_run`."""

  def make(name: str = "darts_fashion", **settings) -> pathlib.Path:
    return write_run(tmp_path / name, **settings)

  return make


def write_run(
  path: pathlib.Path,
  *,
  epochs: int = 20,
  planned: int | None = None,
  search_ended: bool = True,
  retrain_epochs: int = 30,
  retrained: bool = True,
  baselines: int = 1,
  ops: Sequence[str] = OPS,
  genotype: Genotype | None = None,
  seed: int = 0,
) -> pathlib.Path:
  """Writes a run folder.

  Args:
    path: where.
    epochs: of the search, lines written.
    planned: epochs that the config asks for, if not as many.
    search_ended: whether it ended, so that a genotype exists.
    retrain_epochs: lines of each retrained network; 0 for none yet.
    retrained: whether retraining ended.
    baselines: random genotypes trained alike.
    ops: operations on every edge.
    genotype: found by the search; else the one the weights say.
    seed: of the numbers.
  """
  draw = random.Random(seed)
  config = {
    "name": path.name,
    "seed": seed,
    "space": "darts",
    "method": {"name": "darts", "settings": {}, "selector": "default"},
    "data": {"source": "fashion_mnist_mini", "valid_fraction": 0.5},
    "search": {"cells": 8, "channels": 16, "epochs": planned or max(epochs, 1)},
    "evaluate": {"cells": 20, "channels": 36, "epochs": retrain_epochs or 30},
  }
  write_json(
    path / "config.json",
    {"config": config, "hash": "3f2a91c0b7de", "versions": VERSIONS},
  )
  lines, found = search_lines(epochs, ops, draw)
  found = genotype or found
  if search_ended:
    lines.append(
      {
        "kind": "summary",
        "epochs": epochs,
        "steps": 31 * epochs,
        "valid_accuracy": lines[-1]["valid_accuracy"],
        "child_accuracy": lines[-1]["child_accuracy"],
        "gap": lines[-1]["gap"],
        "params": 1_930_618,
        "peak_bytes": 1_610_612_736,
        "rss_bytes": 2_254_857_830,
        "seconds": 9.12 * epochs,
      }
    )
    genotype_lib.save(
      path / "genotype.json",
      found,
      {"config_hash": "3f2a91c0b7de", "seed": seed, "step": 31 * epochs},
    )
  write_lines(path / "search" / "metrics.jsonl", lines)
  if search_ended and retrain_epochs:
    for number in range(-1, baselines):
      folder = path / "evaluate"
      if number >= 0:
        folder = folder / f"random_{number}"
        folder.mkdir(parents=True, exist_ok=True)
        genotype_lib.save(folder / "genotype.json", random_genotype(ops, draw))
      top = 0.893 - 0.018 * (number >= 0) + draw.gauss(0, 0.003)
      write_lines(
        folder / "metrics.jsonl",
        training_lines(retrain_epochs, retrained, top, seed, draw),
      )
  return path


def search_lines(epochs: int, ops: Sequence[str], draw: random.Random):
  """Lines of a search's metrics, and the genotype of the last epoch."""
  lines: list[dict] = [
    {
      "kind": "header",
      "edges": {"normal": EDGES, "reduce": EDGES},
      "ops": {"normal": [list(ops)] * 14, "reduce": [list(ops)] * 14},
      "split_sizes": {"train": 5000, "valid": 5000},
    }
  ]
  drift = {
    cell: [[draw.gauss(0, 1.2) for _ in ops] for _ in EDGES]
    for cell in ("normal", "reduce")
  }
  found = None
  for epoch in range(epochs):
    done = (epoch + 1) / max(epochs, 8)
    mixing = {
      cell: [softmax([done * d for d in row]) for row in rows]
      for cell, rows in drift.items()
    }
    found = Genotype(*(derive(mixing[c], ops) for c in ("normal", "reduce")))
    valid = 0.86 - 0.5 * math.exp(-4 * done) + draw.gauss(0, 0.004)
    child = valid - 0.35 + 0.2 * done + draw.gauss(0, 0.01)
    lines.append(
      {
        "kind": "epoch",
        "epoch": epoch,
        "step": 31 * (epoch + 1),
        "train_loss": 0.3 + 1.6 * math.exp(-4 * done),
        "train_accuracy": valid + 0.03 * done,
        "valid_loss": 0.4 + 1.5 * math.exp(-4 * done),
        "valid_accuracy": valid,
        "child_loss": 1.1 + 1.3 * math.exp(-4 * done),
        "child_accuracy": child,
        "gap": valid - child,
        "entropy": {cell: entropy(rows) for cell, rows in mixing.items()},
        "skip_share": {c: v.skip_share() for c, v in found.cells().items()},
        "op_counts": {c: v.op_counts() for c, v in found.cells().items()},
        "weights_lr": 0.025 * (1 - done),
        "arch_lr": 3e-4,
        "mixing": mixing,
        "genotype": genotype_lib.to_dict(found),
        "images_per_s": 2310.5 + draw.gauss(0, 20),
        "seconds": 9.12 * (epoch + 1),
      }
    )
  return lines, found


def training_lines(
  epochs: int, ended: bool, top: float, seed: int, draw: random.Random
) -> list[dict]:
  """Lines of a retrained network's metrics."""
  lines: list[dict] = [
    {"kind": "header", "split_sizes": {"train": 10000, "test": 2500}}
  ]
  accuracy = math.nan
  for epoch in range(epochs):
    done = (epoch + 1) / epochs
    accuracy = top - 0.4 * math.exp(-5 * done) + draw.gauss(0, 0.003)
    lines.append(
      {
        "kind": "epoch",
        "epoch": epoch,
        "step": 104 * (epoch + 1),
        "train_loss": 0.2 + 1.5 * math.exp(-4 * done),
        "train_accuracy": accuracy + 0.05 * done,
        "test_loss": 0.33 + 1.2 * math.exp(-4 * done),
        "test_accuracy": accuracy,
        "lr": 0.025 * (1 - done),
        "drop_path": 0.2 * done,
        "images_per_s": 1120.0,
        "seconds": 8.9 * (epoch + 1),
      }
    )
  if ended:
    lines.append(
      {
        "kind": "summary",
        "test_accuracy": accuracy,
        "test_loss": 0.331,
        "best_test_accuracy": max(e["test_accuracy"] for e in lines[1:]),
        "params": 3_349_342,
        "params_with_aux": 3_825_768,
        "madds": 528_359_040,
        "madds_ext": 547_130_880,
        "epochs": epochs,
        "steps": 104 * epochs,
        "seconds": 8.9 * epochs,
        "peak_bytes": 2_147_483_648,
        "rss_bytes": 2_791_728_742,
        "seed": seed,
        "inherited": False,
      }
    )
  return lines


def derive(rows: Sequence[Sequence[float]], ops: Sequence[str]) -> Cell:
  """Two strongest edges a node, each with its strongest operation."""
  nodes, start = [], 0
  for target in range(2, 6):
    best = []
    for source in range(target):
      row = rows[start + source]
      k = max(
        (k for k in range(len(ops)) if ops[k] != "none"), key=lambda k: row[k]
      )
      best.append((-row[k], source, ops[k]))
    nodes.append(tuple((op, source) for _, source, op in sorted(best)[:2]))
    start += target
  return Cell(tuple(nodes), (2, 3, 4, 5))


def random_genotype(ops: Sequence[str], draw: random.Random) -> Genotype:
  """Two random pairs a node."""
  used = [op for op in ops if op != "none"]
  cells = [
    Cell(
      tuple(
        tuple(
          (draw.choice(used), source) for source in draw.sample(range(n), 2)
        )
        for n in range(2, 6)
      ),
      (2, 3, 4, 5),
    )
    for _ in range(2)
  ]
  return Genotype(*cells)


def softmax(logits: Sequence[float]) -> list[float]:
  powers = [math.exp(x) for x in logits]
  return [p / sum(powers) for p in powers]


def entropy(rows: Sequence[Sequence[float]]) -> float:
  """Mean entropy of the rows over its largest value."""
  per_row = [-sum(p * math.log(p) for p in row) for row in rows]
  return sum(per_row) / len(rows) / math.log(len(rows[0]))


def write_json(path: pathlib.Path, value) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(value))


def write_lines(path: pathlib.Path, lines: Sequence[dict]) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))
