"""Commands that measure: before a run, of a step, of a device, of a run."""

import argparse
import json
import pathlib
from typing import Any

from jnas import config as configs
from jnas import options as options_lib
from jnas.commands import start

# What `jnas bench --compare` can time in turn.
_COMPARABLE = ("step", "evaluate")
# What `jnas plan` calls its fields when people read them.
_LABELS = {
  "params": "parameters",
  "madds": "multiply-adds",
  "peak_bytes": "peak memory",
  "step_s": "step",
  "images_per_s": "images/s",
  "eta_s": "time, compiled",
  "search_takes": "search takes",
  "evaluate_takes": "evaluate takes",
  "waits_for_images": "waits for images",
  "says": "in short",
  "image_shape": "image",
}


def plan_command(arguments: list[str]) -> None:
  """Parameters, steps, peak memory and time, before a run."""
  parser = options_lib.config_parser(
    "plan", plan_command.__doc__, workdir=False
  )
  parser.add_argument(
    "--rungs",
    action="store_true",
    help="the search also with Engine and Transit cells, shared features and "
    "bottleneck one after the other",
  )
  parser.add_argument(
    "--segment",
    action="store_true",
    help="the training of `jnas segment` instead of search and evaluation",
  )
  parser.add_argument(
    "--genotype",
    help="with --segment: file, text or published name; default: a random one",
  )
  options_lib.add_json(parser)
  options, config = options_lib.read_config(parser, arguments)
  if options.segment and options.rungs:
    raise ValueError("--rungs with --segment: they are of the search")
  if options.genotype is not None and not options.segment:
    raise ValueError(
      f"--genotype is {options.genotype!r} without --segment; search and "
      "evaluation are planned with a random one"
    )
  start.prepare_jax(options)
  from jnas import genotype as genotypes
  from jnas.pipeline import bench_segment, plan

  if options.segment:
    given = options.genotype
    genotype = None if given is None else genotypes.parse(given)
    result = bench_segment.plan(config, genotype)
  else:
    result = plan.run(config, rungs=options.rungs)
  if options.json:
    print(json.dumps(result))
  else:
    _print_plan(result)


def bench_command(arguments: list[str]) -> None:
  """Step time, compile time, memory; estimators; images; more devices."""
  parser = options_lib.config_parser(
    "bench", bench_command.__doc__, workdir=False
  )
  parser.add_argument(
    "--compare",
    nargs=2,
    metavar=("A", "B"),
    help="two settings, timed in turn: 'search.channels=8 JNAS_NATIVE=0' "
    "changes a field and the environment, 'base' nothing",
  )
  parser.add_argument(
    "what",
    choices=(
      "step",
      "select",
      "evaluate",
      "segment",
      "estimators",
      "data",
      "scaling",
    ),
  )
  parser.add_argument(
    "--repeats", type=int, default=5, help="timed runs (default 5)"
  )
  for name, value, text in (
    ("draws", 50, "gradients of each estimator"),
    ("steps", 20, "steps of the weights before the estimators are compared"),
  ):
    help_text = f"{text} (default {value})"
    parser.add_argument(f"--{name}", type=int, default=value, help=help_text)
  parser.add_argument(
    "--out", default=".", help="folder for the figure of `estimators`"
  )
  parser.add_argument(
    "--workload",
    choices=("step", "evaluate"),
    help="what `scaling` is of: the search's steps (default) or the training's",
  )
  parser.add_argument(
    "--step-seconds",
    type=float,
    metavar="S",
    help="that `scaling` counts with: of both steps on one device of the kind "
    "that you plan with; default: timed here",
  )
  options_lib.add_json(parser)
  options, config = options_lib.read_config(parser, arguments)
  if options.repeats < 1:
    raise ValueError(f"--repeats is {options.repeats}; it must be at least 1")
  if options.what != "scaling":
    for name in ("workload", "step_seconds"):
      if getattr(options, name) is not None:
        raise ValueError(
          f"--{name.replace('_', '-')} is of `jnas bench scaling`; found with "
          f"{options.what!r}"
        )
  if options.compare is not None and options.what not in _COMPARABLE:
    raise ValueError(
      f"--compare with {options.what!r}: it takes {', '.join(_COMPARABLE)}"
    )
  start.prepare_jax(options)
  if options.what == "estimators":
    _bench_estimators(options, config)
    return
  if options.what == "scaling":
    _bench_scaling(options, config)
    return
  from jnas.pipeline import bench, bench_segment, bench_select, compare, loading

  if options.compare is not None:
    settings = [compare.parse(text) for text in options.compare]
    given = [
      options_lib.read_config(parser, [*arguments, *setting.overrides])[1]
      for setting in settings
    ]
    result = compare.run(
      options.what,
      settings,
      given,
      rounds=options.repeats,
      devices=options.devices,
    )
    print(json.dumps(result) if options.json else compare.describe(result))
    return
  measure = {
    "step": bench.run_step,
    "select": bench_select.run,
    "evaluate": bench.run_evaluate,
    "segment": bench_segment.run,
    "data": loading.run,
  }
  result = measure[options.what](config, repeats=options.repeats)
  if options.json:
    print(json.dumps(result))
  else:
    for name, value in result.items():
      print(f"{name:20s} {_pretty(name, value)}")


def _bench_scaling(options: argparse.Namespace, config: configs.Config) -> None:
  from jnas.pipeline import scaling

  result = scaling.run(
    config,
    workload=options.workload or "step",
    step_seconds=options.step_seconds,
    repeats=options.repeats,
  )
  print(json.dumps(result) if options.json else scaling.describe(result))


def _bench_estimators(
  options: argparse.Namespace, config: configs.Config
) -> None:
  from jnas.pipeline import estimators

  result = estimators.run(
    config, draws=options.draws, weight_steps=options.steps, out=options.out
  )
  if options.json:
    print(json.dumps(result))
    return
  columns = ("variance", "mean_norm", "standard_error", "cosine_to_rebar")
  print(f"{'':20s}{''.join(f'{name:>18s}' for name in columns)}")
  for row in result["estimators"]:
    values = "".join(f"{row[name]:18.4g}" for name in columns)
    print(f"{row['estimator']:20s}{values}")
  print("\n".join(result["figures"]))


def latency_command(arguments: list[str]) -> None:
  """Builds or shows a table of latencies, or times a genotype's network."""
  if arguments[:1] == ["show"]:
    parser = options_lib.Parser(prog="jnas latency", allow_abbrev=False)
    parser.add_argument("what")
    parser.add_argument("table", help="file of `jnas latency build`")
    options_lib.add_json(parser)
    options = parser.parse_args(arguments)
    from jnas.pipeline import latency_build

    latency_build.show(options.table, as_json=options.json)
    return
  parser = options_lib.config_parser(
    "latency", latency_command.__doc__, workdir=False, devices=False
  )
  parser.add_argument("what", choices=("build", "show", "measure"))
  parser.add_argument("--out", help="file to write, for `build`")
  parser.add_argument(
    "--genotype", help="file, text or published name, for `measure`"
  )
  for name, value, text in (
    ("batch-size", 32, "images in a batch"),
    ("samples", 10_000, "sampled networks that the linear model is fitted on"),
    ("repeats", 10, "timed runs of each program"),
    ("compiled", 6, "networks compiled for themselves, to correct and judge"),
  ):
    help_text = f"{text} (default {value})"
    parser.add_argument(f"--{name}", type=int, default=value, help=help_text)
  options_lib.add_json(parser)
  options, config = options_lib.read_config(parser, arguments)
  start.prepare_jax()
  from jnas import genotype as genotypes
  from jnas.pipeline import latency_build

  effort = latency_build.Effort(
    options.batch_size, options.samples, options.repeats, options.compiled
  )
  if options.what == "build":
    if options.out is None:
      raise ValueError("--out is missing: give the file to write")
    latency_build.build(config, options.out, effort)
    latency_build.show(options.out, as_json=options.json)
    return
  if options.genotype is None:
    raise ValueError("--genotype is missing: what is to be timed")
  timing = latency_build.measure(
    config, genotypes.parse(options.genotype), effort
  )
  if options.json:
    print(json.dumps(timing._asdict()))
  else:
    print(f"{timing.median_ms:.3f} ms, quartiles {timing.spread_ms:.3f} apart")


def analyze_command(arguments: list[str]) -> None:
  """What PT says of supernets, measured on a run's: strength, skip, shuffle."""
  parser = options_lib.Parser(
    prog="jnas analyze", description=analyze_command.__doc__
  )
  parser.add_argument("what", choices=("strength", "skip", "shuffle"))
  parser.add_argument("workdir", help="run folder with a finished search")
  parser.add_argument(
    "--edges",
    type=int,
    default=2,
    help="edges of each cell type for `strength`; 0 for all (default 2)",
  )
  parser.add_argument(
    "--epochs",
    type=int,
    default=5,
    help="tuning after each discretisation for `strength` (default 5)",
  )
  parser.add_argument(
    "--draws", type=int, default=4, help="of `shuffle` (default 4)"
  )
  options = parser.parse_args(arguments)
  for name, least in (("edges", 0), ("epochs", 0), ("draws", 1)):
    value = getattr(options, name)
    if value < least:
      raise ValueError(f"--{name} is {value}; it must be at least {least}")
  start.prepare_jax()
  from jnas.pipeline import analysis

  result = analysis.run(
    options.what,
    pathlib.Path(options.workdir),
    edges=options.edges,
    epochs=options.epochs,
    draws=options.draws,
  )
  print(json.dumps(result))


def _print_plan(result: dict[str, Any]) -> None:
  for title, part in (
    ("data", result["data"]),
    ("search", {k: v for k, v in result.items() if not _is_nested(v)}),
    ("evaluate (a random genotype)", result.get("evaluate", {})),
    ("segment", result.get("segment", {})),
    ("loader", result.get("loader", {})),
  ):
    if not part:
      continue
    print(title)
    for name, value in part.items():
      print(f"  {_LABELS.get(name, name):20s} {_pretty(name, value)}")
  if "rungs" in result:
    import rich.console
    import rich.table

    names = ("supernet", "params", "madds", "peak_bytes", "step_s", "eta_s")
    table = rich.table.Table(title="search, with more savings in each row")
    for name in names:
      table.add_column(
        _LABELS.get(name, name),
        justify="left" if name == "supernet" else "right",
      )
    for rung in result["rungs"]:
      table.add_row(*(_pretty(name, rung[name]) for name in names))
    rich.console.Console().print(table)


def _is_nested(value: Any) -> bool:
  return isinstance(value, dict | list)


def _pretty(name: str, value: Any) -> str:
  if name.endswith("_bytes"):
    return f"{value / 2**30:.2f} GiB"
  if name == "eta_s":
    from jnas.pipeline import display

    return display.duration(value)
  if isinstance(value, list):
    joint = " x " if name == "image_shape" else ", "
    return joint.join(map(str, value)) or "none"
  if name.endswith(("images_per_s", "_takes")) and value is not None:
    return f"{value:,.1f}" + (" images/s" if name.endswith("_takes") else "")
  if name.endswith("_s") and isinstance(value, float):
    return f"{value:.3f} s"
  if isinstance(value, int):
    return f"{value:,}"
  return str(value)
