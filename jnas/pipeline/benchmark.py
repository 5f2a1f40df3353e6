"""How good cells really are, by the user's table of NAS-Bench-201.

Source: NAS-Bench-201 (arXiv:2001.00326); PT, Sec. 5.3 and Figure 4.
"""

import argparse
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import rich.console
import rich.table

from jnas import bench
from jnas import genotype as genotypes
from jnas.genotype import Genotype
from jnas.report import folder, stats


class Trajectory(NamedTuple):
  """What a search would have derived at its epochs.

  Attributes:
    epochs: those whose record has a genotype.
    entries: what the table says of each.
  """

  epochs: tuple[int, ...]
  entries: tuple[bench.Entry, ...]

  def accuracies(self, data_set: str) -> tuple[float, ...]:
    """Accuracy of each epoch's cell, in percent."""
    return tuple(entry.scores[data_set].accuracy for entry in self.entries)


def run(options: argparse.Namespace) -> None:
  """Runs `jnas benchmark`.

  Args:
    options: `table`, a path; `genotype`, a list of whatever
      `jnas.genotype.parse` takes; `json`, whether to print one object.

  Raises:
    ValueError: for a table or a genotype that is none.
    FileNotFoundError: for a table that is not there.
  """
  table = bench.load(options.table)
  entries = [
    bench.lookup(table, genotypes.parse(text)) for text in options.genotype
  ]
  if options.json:
    print(json.dumps(to_dict(table, entries)))
  else:
    _show(table, entries)


def annotate(
  table: bench.Table, genotypes_per_epoch: Sequence[Genotype]
) -> list[bench.Entry]:
  """What the table says of the genotype of each epoch.

  Raises:
    ValueError: for a genotype that is no cell of NAS-Bench-201.
  """
  return [bench.lookup(table, genotype) for genotype in genotypes_per_epoch]


def read_trajectory(table: bench.Table, path: pathlib.Path) -> Trajectory:
  """What the table says of the genotypes in a stage's metrics.jsonl.

  Args:
    table: from `bench.load`.
    path: the file; epochs without a genotype are left out.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: for a genotype that is no cell of NAS-Bench-201.
  """
  log = folder.read_log(path)
  if log is None:
    raise FileNotFoundError(f"no metrics at {path}")
  found = [
    (number, genotype)
    for number, epoch in zip(log.numbers(), log.epochs, strict=True)
    if (genotype := folder.genotype_of(epoch)) is not None
  ]
  return Trajectory(
    epochs=tuple(number for number, _ in found),
    entries=tuple(annotate(table, [genotype for _, genotype in found])),
  )


def to_dict(
  table: bench.Table, entries: Sequence[bench.Entry]
) -> dict[str, Any]:
  """Looked-up cells as plain values, ready for JSON.

  Accuracies and regrets are in percent. `summary` is over the cells given;
  the deviation of a single one is None.
  """
  return {
    **table_to_dict(table),
    "cells": [entry_to_dict(entry) for entry in entries],
    "summary": {
      name: {
        "mean": _short(summary.mean),
        "deviation": _short(summary.deviation),
        "best": _short(summary.best),
        "count": summary.count,
      }
      for name, summary in _summaries(table, entries).items()
    },
  }


def table_to_dict(table: bench.Table) -> dict[str, Any]:
  """The table's file, and the best accuracy on each data set, in percent."""
  return {
    "table": str(table.path),
    "best": {name: _short(table.best(name)) for name in table.accuracies},
  }


def entry_to_dict(entry: bench.Entry) -> dict[str, Any]:
  """One looked-up cell as plain values, ready for JSON."""
  return {
    "arch_str": entry.string,
    "index": entry.index,
    "connected": entry.connected,
    "params": entry.params,
    "macs": entry.macs,
    "scores": {
      name: {
        "accuracy": _short(score.accuracy),
        "rank": score.rank,
        "regret": _short(score.regret),
      }
      for name, score in entry.scores.items()
    },
  }


def score_table(entries: Mapping[str, bench.Entry]) -> rich.table.Table:
  """A line for each cell, by its label, and data set, for people."""
  lines = rich.table.Table("cell", "data set", box=None, pad_edge=False)
  for title in ("accuracy", "rank", "regret"):
    lines.add_column(title, justify="right")
  for label, entry in entries.items():
    for name, score in entry.scores.items():
      lines.add_row(
        label,
        name,
        f"{score.accuracy:.2f} %",
        f"{score.rank:,} of {bench.NUM_CELLS:,}",
        f"{score.regret:.2f}",
      )
  return lines


def _summaries(
  table: bench.Table, entries: Sequence[bench.Entry]
) -> dict[str, stats.Summary]:
  return {
    name: stats.summarize(entry.scores[name].accuracy for entry in entries)
    for name in table.accuracies
  }


def _short(value: float) -> float | None:
  """The tables hold single precision: four digits are real."""
  return round(value, 4) if math.isfinite(value) else None


def _show(table: bench.Table, entries: Sequence[bench.Entry]) -> None:
  console = rich.console.Console(soft_wrap=True, highlight=False)
  for number, entry in enumerate(entries, start=1):
    facts = [f"index {entry.index}"]
    if entry.params is not None:
      facts.append(f"{entry.params:,} parameters")
    if entry.macs is not None:
      facts.append(f"{entry.macs:,} multiply-adds")
    if not entry.connected:
      facts.append("its output does not depend on its input")
    console.print(f"{number}  {entry.string}", markup=False)
    console.print(f"   {', '.join(facts)}", markup=False)
  lines = score_table(
    {str(number): entry for number, entry in enumerate(entries, start=1)}
  )
  if len(entries) > 1:
    for name, summary in _summaries(table, entries).items():
      lines.add_row(
        "mean",
        name,
        f"{summary.mean:.2f} ± {summary.deviation:.2f} %",
        "",
        f"{table.best(name) - summary.mean:.2f}",
      )
  console.print(lines)
