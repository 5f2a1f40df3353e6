"""A film of the search: the cells derived at each epoch."""

import collections
import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping

from jnas.genotype import Cell, Genotype
from jnas.report import curves, folder, markup, sketch, tables

_MOST_CELLS = 60  # distinct ones, of a cell type


@dataclasses.dataclass(frozen=True)
class Frame:
  """What an epoch would derive.

  Attributes:
    epoch: its number, from 1.
    cells: by cell type, the connections of a node in order of source.
    before: number of the epoch compared with; None for the first.
    changed: by cell type, connections changed since then.
  """

  epoch: int
  cells: Mapping[str, Cell]
  before: int | None
  changed: Mapping[str, int]


Shot = tuple[Frame, ...]  # successive epochs with the same cells


@dataclasses.dataclass(frozen=True)
class Film:
  """The epochs of a search whose cells are known.

  Attributes:
    shots: in order, the first and last of the search among them.
    total: shots of the search, of which a long film leaves some out.
  """

  shots: tuple[Shot, ...]
  total: int


def read(log: folder.Log) -> Film | None:
  """The film of a search; None if fewer than two epochs tell their cells."""
  known = [
    (number, _sort(genotype))
    for number, entry in zip(log.counted(), log.epochs, strict=True)
    if (genotype := folder.genotype_of(entry))
  ]
  frames: list[Frame] = []
  for epoch, cells in known:
    if cells.keys() != known[-1][1].keys():
      continue
    last = frames[-1] if frames else Frame(epoch, cells, None, {})
    changed = {t: count_changed(last.cells[t], cells[t]) for t in cells}
    before = last.epoch if frames else None
    frames.append(Frame(epoch, cells, before, changed))
  if len(frames) < 2:
    return None
  groups = itertools.groupby(frames, key=lambda frame: frame.cells)
  shots = [tuple(group) for _, group in groups]
  distinct = max(
    len({frame.cells[t] for frame in frames}) for t in frames[0].cells
  )
  most = _MOST_CELLS if distinct > _MOST_CELLS else len(shots)
  picks = markup.thin(len(shots), most)
  return Film(tuple(shots[i] for i in picks), len(shots))


def count_changed(before: Cell, after: Cell) -> int:
  """Connections that differ; at a node, one for another counts once."""
  old = collections.Counter(before.connections())
  new = collections.Counter(after.connections())
  gone = _per_node((old - new).elements())
  come = _per_node((new - old).elements())
  return (gone | come).total()  # the larger number at each node


def section(run: folder.Run) -> str:
  """A player of the film and its table, as HTML; empty if there is none."""
  film = read(run.search) if run.search else None
  if film is None:
    return ""
  frames = [frame for shot in film.shots for frame in shot]
  scenes, data = "", []
  for cell_type in frames[0].cells:
    cells = [frame.cells[cell_type] for frame in frames]
    distinct = {cell: k for k, cell in enumerate(dict.fromkeys(cells))}
    drawn = {cell: _draw(cell, cell_type) for cell in distinct}
    if not any(drawn.values()):
      continue
    drawings = [distinct[cell] for cell in cells]
    notes = [_note(frame, cell_type) for frame in frames]
    data.append({"drawings": drawings, "notes": notes})
    stage = _stage(list(drawn.values()), drawings[-1])
    scenes += (
      f"<h3>{curves.CELL_NAMES[cell_type]}</h3>"
      f"<figure><figcaption>{notes[-1]}</figcaption>"
      + markup.scroll(stage, f"{cell_type} cell, by epoch")
      + "</figure>"
    )
  if not data:
    return ""
  lead = "What each epoch would derive."
  if len(film.shots) < film.total:
    lead += (
      f" The cells changed too often to show all: these are {len(film.shots)}"
      f" of {film.total}, evenly spread."
    )
  known = {"epochs": [frame.epoch for frame in frames], "cells": data}
  last = len(frames) - 1
  return (
    f'<p class="lead">{lead}</p><div class="film" data-film>'
    '<script type="application/json">'
    + json.dumps(known, separators=(",", ":"))
    + '</script><div class="slider" hidden><button type="button">Play</button>'
    '<label for="film-epoch">Epoch</label><input id="film-epoch" type="range"'
    f' min="0" max="{last}" value="{last}"><output for="film-epoch"'
    f' aria-live="off"></output></div>{scenes}</div>'
    + markup.disclosure("Connections changed, by epoch", _table(film))
  )


def _sort(genotype: Genotype) -> dict[str, Cell]:
  """The cells, equal where they compute the same in another order."""
  return {
    cell_type: Cell(
      tuple(tuple(sorted(node, key=lambda c: c[::-1])) for node in cell.nodes),
      tuple(sorted(cell.concat)),
      cell.num_inputs,
    )
    for cell_type, cell in genotype.cells().items()
  }


def _per_node(
  connections: Iterable[tuple[int, int, str]],
) -> collections.Counter[int]:
  return collections.Counter(target for _, target, _ in connections)


def _draw(cell: Cell, cell_type: str) -> tuple[str, float] | None:
  """A cell's SVG and height; None if it cannot be drawn."""
  counts = ", ".join(f"{n} × {op}" for op, n in cell.op_counts().items())
  try:
    return sketch.draw(cell, f"{cell_type} cell: {counts}")
  except (ArithmeticError, LookupError, TypeError, ValueError):
    return None


def _stage(drawn: list[tuple[str, float] | None], shown: int) -> str:
  """The drawings, all but one hidden, in a place as high as the highest."""
  height = max(drawing[1] for drawing in drawn if drawing)
  content = "".join(
    f"<div{' hidden' * (k != shown)}>"
    + (drawing[0] if drawing else "<p>This cell cannot be drawn.</p>")
    + "</div>"
    for k, drawing in enumerate(drawn)
  )
  return f'<div class="stage" style="min-height:{height:.0f}pt">{content}</div>'


def _note(frame: Frame, cell_type: str) -> str:
  count = len(list(frame.cells[cell_type].connections()))
  note = f"Epoch {frame.epoch}: {count} connection{'s' * (count != 1)}"
  if frame.before is None:
    return f"{note}."
  changed = frame.changed[cell_type] or "none"
  return f"{note}, {changed} changed since epoch {frame.before}."


def _table(film: Film) -> str:
  """For each shot its epochs and what changed at its start."""
  rows = []
  for shot in film.shots:
    start, end = shot[0], shot[-1]
    span = f"{start.epoch} to {end.epoch}" if len(shot) > 1 else start.epoch
    changed = [
      tables.UNKNOWN if start.before is None else str(count)
      for count in start.changed.values()
    ]
    rows.append(tables.Row(f"Epoch {span}", "", tuple(changed)))
  columns = tuple(curves.CELL_NAMES[t] for t in film.shots[0][0].cells)
  return markup.numbers(
    tables.Table(columns, tuple(rows)), "connections changed", lead=False
  )
