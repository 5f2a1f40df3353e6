"""Showing, counting, drawing and converting a genotype."""

import argparse
import dataclasses
import json
import pathlib

from jnas import genotype as genotypes
from jnas.nets import count, macro
from jnas.pipeline import problem
from jnas.report import cells

# Images of this size or larger take the ImageNet stem.
IMAGENET_SIZE = 224


def run(options: argparse.Namespace) -> None:
  """Runs `jnas genotype`.

  Raises:
    ValueError: for a genotype or sizes without meaning.
    FileNotFoundError: for a genotype that is not there.
  """
  genotype = genotypes.parse(options.genotype)
  if options.what == "show":
    _show(genotype, as_json=options.json)
  elif options.what == "convert":
    print(_convert(genotype, options.to))
  elif options.what == "draw":
    for path in _draw(genotype, pathlib.Path(options.out)):
      print(path)
  else:
    _count(genotype, options)


def _show(genotype: genotypes.Genotype, *, as_json: bool) -> None:
  if as_json:
    print(json.dumps(genotypes.to_dict(genotype)))
    return
  for name in ("normal", "reduce"):
    cell = getattr(genotype, name)
    if cell is None:
      continue
    print(f"{name} (output: nodes {', '.join(map(str, cell.concat))})")
    for node, incoming in enumerate(cell.nodes):
      parts = [f"{op} from {source}" for op, source in incoming]
      print(f"  node {cell.num_inputs + node}: {', '.join(parts) or 'zero'}")


def _convert(genotype: genotypes.Genotype, form: str) -> str:
  if form == "darts":
    return genotypes.to_darts(genotype)
  if form == "nasbench201":
    return genotypes.to_nasbench201(genotype)
  return genotypes.to_json(genotype)


def _draw(
  genotype: genotypes.Genotype, out: pathlib.Path
) -> list[pathlib.Path]:
  out.mkdir(parents=True, exist_ok=True)
  paths = []
  for name in ("normal", "reduce"):
    cell = getattr(genotype, name)
    if cell is not None:
      paths += cells.write(cell, out / f"cell_{name}", title=name)
  return paths


def _count(genotype: genotypes.Genotype, options: argparse.Namespace) -> None:
  problem.check_genotype(genotype)
  if options.classes < 1:
    raise ValueError(f"--classes is {options.classes}; it must be at least 1")
  plan = macro.plan(
    num_cells=options.cells,
    features=options.channels,
    num_classes=options.classes,
    stem="imagenet" if options.size >= IMAGENET_SIZE else "cifar",
  )
  counted = dataclasses.asdict(
    count.count_derived(genotype, plan, size=options.size, image_channels=3)
  )
  if options.json:
    print(json.dumps(counted))
  else:
    for name, value in counted.items():
      print(f"{name:16s} {value:,}")
