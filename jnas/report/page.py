"""The report: one self-contained page and its pictures, from a run folder.

The page needs no network and no other file. It reads what the stages wrote and
can be written again at any time, also while the run is under way.
"""

import os
import pathlib

from jnas.report import (
  cells,
  folder,
  heatmaps,
  mixing,
  picture,
  plots,
  sections,
  segmentation,
  selection,
  theme,
  trajectories,
)

_HERE = pathlib.Path(__file__).parent


def write(run_folder: str | os.PathLike[str]) -> pathlib.Path:
  """Writes report/ of a run folder; returns the path of its index.html.

  Every file is replaced whole, the page last.

  Raises:
    FileNotFoundError: there is no such folder.
    ValueError: it is not a run folder.
  """
  path = pathlib.Path(run_folder)
  run = folder.read(path)
  pictures = draw(run)
  report = path / "report"
  report.mkdir(exist_ok=True)
  for name, drawn in pictures.items():
    picture.write(drawn, report / name)
  for cell_type, cell in (run.genotype.cells() if run.genotype else {}).items():
    dot = cells.to_dot(cell, title=f"{run.name} {cell_type}")
    picture.replace(report / f"cell_{cell_type}.dot", dot.encode())
  index = report / "index.html"
  picture.replace(index, render(run, pictures).encode())
  return index


def draw(run: folder.Run) -> dict[str, picture.Picture]:
  """Every picture that the run has something to show in, by name."""
  figures = {}
  for cell_type, cell in (run.genotype.cells() if run.genotype else {}).items():
    figures[f"cell_{cell_type}"] = cells.draw(cell)
  if run.search is not None and run.search.epochs:
    log = run.search
    figures["search_accuracy"] = plots.search_accuracy(log)
    figures["search_loss"] = plots.search_loss(log)
    figures["gap"] = plots.gap(log)
    figures["entropy"] = plots.entropy(log)
    figures["skip_share"] = plots.skip_share(log)
    for cell_type in ("normal", "reduce"):
      figures[f"ops_{cell_type}"] = plots.op_counts(log, cell_type)
    for weights in mixing.read_all(log):
      figures[f"alpha_{weights.cell_type}"] = heatmaps.heat_maps(weights)
  figures |= selection.draw(run)
  figures["training_accuracy"] = plots.training_accuracy(run.networks)
  figures["training_loss"] = plots.training_loss(run.networks)
  figures |= segmentation.draw(run)
  figures |= trajectories.draw(run.benchmark)
  return {name: picture.render(f) for name, f in figures.items() if f}


def render(run: folder.Run, pictures: dict[str, picture.Picture]) -> str:
  """The page as one text."""
  return shell(sections.title(run), sections.body(run, pictures))


def shell(title: str, body: str, *, style: str = "", script: str = "") -> str:
  """A page that needs no other file.

  Args:
    title: HTML.
    body: HTML.
    style: a style sheet beside this file, after the common one.
    script: a script beside this file, in place of that of a run's page.
  """
  styles = theme.css() + _read("page.css") + (_read(style) if style else "")
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    '<meta name="color-scheme" content="light dark">\n'
    '<meta http-equiv="Content-Security-Policy" content="default-src'
    " 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    ' img-src data:">\n<link rel="icon" href="data:,">\n'
    f"<title>{title}</title>\n<style>\n{styles}</style></head>\n"
    f"<body>{body}\n<script>\n{_read(script or 'page.js')}"
    f"{_read('scroll.js')}</script>\n"
    "</body></html>\n"
  )


def _read(name: str) -> str:
  return (_HERE / name).read_text(encoding="utf-8")
