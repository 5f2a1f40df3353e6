"""Commands on what is known: genotypes, tables, claims, names."""

import json
import pathlib
from typing import Any

from jnas import options as options_lib
from jnas.commands import start

LISTS = (
  "methods",
  "spaces",
  "ops",
  "selectors",
  "datasets",
  "masks",
  "configs",
  "cells",
  "devices",
  "combinations",
)


def genotype_command(arguments: list[str]) -> None:
  """Shows, counts, draws or converts a genotype."""
  parser = options_lib.Parser(
    prog="jnas genotype", description=genotype_command.__doc__
  )
  parser.add_argument("what", choices=("show", "count", "draw", "convert"))
  parser.add_argument(
    "genotype",
    help="file (JSON, DARTS text), text, NAS-Bench-201 string, or the name of "
    "a published cell (jnas list cells)",
  )
  parser.add_argument(
    "--channels", type=int, help="default 36; 16 for one cell type"
  )
  parser.add_argument(
    "--cells", type=int, help="default 20; 15 for one cell type"
  )
  parser.add_argument("--classes", type=int, default=10)
  parser.add_argument(
    "--size", type=int, default=32, help="of the images; 224: ImageNet stem"
  )
  parser.add_argument(
    "--to", choices=("json", "darts", "nasbench201"), default="json"
  )
  parser.add_argument(
    "--out", default=".", help="folder for the pictures of `draw`"
  )
  options_lib.add_json(parser)
  options = parser.parse_args(arguments)
  from jnas.pipeline import genotype

  genotype.run(options)


def benchmark_command(arguments: list[str]) -> None:
  """Real accuracy, rank and regret of cells of NAS-Bench-201."""
  parser = options_lib.Parser(
    prog="jnas benchmark", description=benchmark_command.__doc__
  )
  parser.add_argument(
    "genotype",
    nargs="+",
    metavar="GENOTYPE",
    help="NAS-Bench-201 string, file or text",
  )
  parser.add_argument(
    "--table",
    required=True,
    metavar="PATH",
    help="your table; docs/nasbench201.md says how to make it",
  )
  options_lib.add_json(parser)
  options = parser.parse_args(arguments)
  from jnas.pipeline import benchmark

  benchmark.run(options)


def claims_command(arguments: list[str]) -> None:
  """Runs the papers' claims at small scale and says which hold."""
  parser = options_lib.Parser(
    prog="jnas claims", description=claims_command.__doc__
  )
  parser.add_argument(
    "claims", nargs="*", metavar="CLAIM", help="P1, P2, ...; default: all"
  )
  parser.add_argument(
    "--source", default="cifar10", help="of the images, as data.source"
  )
  parser.add_argument(
    "--seeds", type=int, nargs="+", help="default 0 1 2, with --quick 0"
  )
  parser.add_argument(
    "--quick",
    action="store_true",
    help="one seed, small networks, few images and epochs: shows that "
    "everything runs, in minutes; the figures mean little",
  )
  parser.add_argument(
    "--epochs", type=int, help="of each search, instead of the configs'"
  )
  parser.add_argument(
    "--table",
    default="",
    metavar="PATH",
    help="your table of NAS-Bench-201, for the claims about it",
  )
  parser.add_argument(
    "--workdir", help="default runs/claims, with --quick runs/claims-quick"
  )
  parser.add_argument(
    "--jobs",
    type=int,
    metavar="N",
    help="runs at a time, each in a process with its share of the cores; "
    "default: one for each core, at most 8, and 1 on GPUs and TPUs. What they "
    "print is in WORKDIR/logs. Claims about time run alone, on all cores. The "
    "last digits of the figures depend on N",
  )
  options_lib.add_json(parser)
  options = parser.parse_args(arguments)
  start.prepare_jax()
  from jnas.pipeline import claims, display, jobs, stage

  at_once = jobs.default_at_once() if options.jobs is None else options.jobs
  with start.stoppable(stage.Stopped, display):
    rows = claims.run(
      options.claims,
      source=options.source,
      seeds=options.seeds or ([0] if options.quick else [0, 1, 2]),
      workdir=pathlib.Path(
        options.workdir or f"runs/claims{'-quick' if options.quick else ''}"
      ),
      epochs=options.epochs,
      quick=options.quick,
      table=options.table,
      at_once=at_once,
    )
    if options.json:
      print(json.dumps(rows))
    else:
      claims.show(rows)


def list_command(arguments: list[str]) -> None:
  """Lists what can be named: methods, spaces, ops, cells, configs ..."""
  parser = options_lib.Parser(
    prog="jnas list", description=list_command.__doc__
  )
  parser.add_argument("what", choices=LISTS)
  options_lib.add_json(parser)
  options = parser.parse_args(arguments)
  if options.what == "combinations":
    from jnas.pipeline import compatibility

    print(
      json.dumps(compatibility.describe())
      if options.json
      else compatibility.table()
    )
    return
  if options.what == "devices":
    described = _devices()
    print(
      json.dumps(described)
      if options.json
      else "\n".join(
        [
          *described["devices"],
          f"CPU operations: {described['cpu_operations']}",
        ]
      )
    )
    return
  from jnas.pipeline import listing

  described = listing.describe(options.what)
  if options.json:
    print(json.dumps(described))
    return
  width = max(map(len, described))
  for name, line in described.items():
    print(f"{name:{width}s}  {line}")


def _devices() -> dict[str, Any]:
  """What JAX computes on here, and with which code on CPU."""
  import jax

  from jnas.native import lowering

  return {
    "devices": [f"{device} ({device.device_kind})" for device in jax.devices()],
    "cpu_operations": lowering.describe(),
  }
