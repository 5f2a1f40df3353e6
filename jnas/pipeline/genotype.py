"""Showing, counting, drawing and converting a genotype."""

import argparse
import dataclasses
import json
import pathlib

from jnas import genotype as genotypes
from jnas.nets import count, macro, mbconv_count, mbconv_plan, nasbench201
from jnas.pipeline import networks
from jnas.report import cells
from jnas.training import checkpoint

# Images of this size or larger take the ImageNet stem.
IMAGENET_SIZE = 224
# Networks of DARTS on CIFAR-10 and of NAS-Bench-201, unless told otherwise.
_DARTS_CELLS, _DARTS_CHANNELS = 20, 36
_BENCH_CELLS, _BENCH_CHANNELS = 15, 16


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
  is_chain = mbconv_plan.is_chain(genotype)
  for name in ("normal", "reduce"):
    cell = getattr(genotype, name)
    if cell is None:
      continue
    if is_chain:
      print(
        f"{name} layers: {', '.join(op for _, _, op in cell.connections())}"
      )
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
  checkpoint.check_writable(out)
  out.mkdir(parents=True, exist_ok=True)
  paths = []
  for name in ("normal", "reduce"):
    cell = getattr(genotype, name)
    if cell is not None:
      paths += cells.write(cell, out / f"cell_{name}", title=name)
  return paths


def _count(genotype: genotypes.Genotype, options: argparse.Namespace) -> None:
  networks.check_genotype(genotype)
  if options.classes < 1:
    raise ValueError(f"--classes is {options.classes}; it must be at least 1")
  if mbconv_plan.is_chain(genotype):
    counted = _count_chain(genotype, options)
  elif genotype.reduce is None:
    counted = _count_single(genotype, options)
  else:
    counted = _count_pair(genotype, options)
  fields = dataclasses.asdict(counted)
  if options.json:
    print(json.dumps(fields))
  else:
    for name, value in fields.items():
      print(f"{name:16s} {value:,}")


def _count_pair(
  genotype: genotypes.Genotype, options: argparse.Namespace
) -> count.Count:
  """Counts the network of a normal and a reduction cell."""
  stem = "imagenet" if options.size >= IMAGENET_SIZE else "cifar"
  divisor = macro.STEM_STRIDE[stem] * 4
  if options.size < 1 or options.size % divisor:
    raise ValueError(
      f"--size is {options.size}; it must be a multiple of {divisor}"
    )
  plan = macro.plan(
    num_cells=_DARTS_CELLS if options.cells is None else options.cells,
    features=_DARTS_CHANNELS if options.channels is None else options.channels,
    num_classes=options.classes,
    stem=stem,
  )
  return count.count_derived(
    genotype, plan, size=options.size, image_channels=3
  )


def _count_chain(
  genotype: genotypes.Genotype, options: argparse.Namespace
) -> count.Count:
  """Counts the network of a chain of MBConv layers, by default its own."""
  layers = sum(len(cell.nodes) for cell in genotype.cells().values())
  channels = mbconv_plan.Plan().stem
  plan = mbconv_plan.scaled(
    num_layers=layers if options.cells is None else options.cells,
    stem=channels if options.channels is None else options.channels,
    num_classes=options.classes,
    small_images=options.size < IMAGENET_SIZE,
  )
  ops = mbconv_plan.ops_of(genotype, plan)
  return mbconv_count.count_derived(ops, plan, size=options.size)


def _count_single(
  genotype: genotypes.Genotype, options: argparse.Namespace
) -> count.Count:
  """Counts the network of NAS-Bench-201, three stages of one cell."""
  cells = _BENCH_CELLS if options.cells is None else options.cells
  if cells % nasbench201.NUM_STAGES:
    raise ValueError(
      f"--cells is {cells}; it must be a multiple of "
      f"{nasbench201.NUM_STAGES}, the stages of one cell's network"
    )
  return nasbench201.count_network(
    genotype,
    size=options.size,
    num_classes=options.classes,
    features=_BENCH_CHANNELS if options.channels is None else options.channels,
    cells_per_stage=cells // nasbench201.NUM_STAGES,
  )
