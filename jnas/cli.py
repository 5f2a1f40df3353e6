"""Command line: arguments to one pipeline call per sub-command."""

import argparse
import contextlib
import difflib
import json
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from jnas import config as configs
from jnas import machines
from jnas import options as options_lib

EXIT_BAD_INPUT = 2
EXIT_FAILED = 1

_DESCRIPTION = "Differentiable neural architecture search on JAX."
_LISTS = (
  "methods",
  "spaces",
  "ops",
  "selectors",
  "datasets",
  "configs",
  "cells",
  "devices",
  "combinations",
)


def main(arguments: Sequence[str] | None = None) -> None:
  """Runs the command line and exits.

  Exit codes: 0 done, or stopped by a signal with the state saved; 1 a failure
  in running; 2 bad input.
  """
  arguments = list(sys.argv[1:] if arguments is None else arguments)
  # Dotted paths such as my_lab.ops:OP are looked up from where one stands.
  if os.getcwd() not in sys.path:
    sys.path.insert(0, os.getcwd())
  debug = "--debug" in arguments
  arguments = [argument for argument in arguments if argument != "--debug"]
  machines.leave(_run(arguments, debug=debug))


def _run(arguments: list[str], *, debug: bool) -> int:
  from jnas.training import checkpoint, processes

  try:
    _dispatch(arguments)
  except processes.FirstFailedError as error:
    return EXIT_BAD_INPUT if error.bad_input else EXIT_FAILED
  except (checkpoint.SaveError, checkpoint.CheckpointError) as error:
    return _fail(error, EXIT_FAILED, debug)
  except (ValueError, FileNotFoundError, NotADirectoryError) as error:
    return _fail(error, EXIT_BAD_INPUT, debug)
  except BrokenPipeError:
    return EXIT_FAILED
  except (FloatingPointError, OSError, RuntimeError) as error:
    return _fail(error, EXIT_FAILED, debug)
  except KeyboardInterrupt:
    print("jnas: interrupted", file=sys.stderr)
    return 130
  return 0


def _fail(error: Exception, code: int, debug: bool) -> int:
  from jnas.training import lost

  if debug:
    traceback.print_exception(error)
  elif lost.is_sign(error):
    lost.end()
  else:
    line = " ".join(str(error).split()) or type(error).__name__
    print(f"jnas: error: {line}", file=sys.stderr)
  return code


def _dispatch(arguments: list[str]) -> None:
  commands = _commands()
  if not arguments or arguments[0] in ("-h", "--help"):
    print(_usage(commands))
    return
  if arguments[0] == "--version":
    from jnas import __version__

    print(__version__)
    return
  name, *rest = arguments
  if name not in commands:
    near = difflib.get_close_matches(name, commands, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(
      f"unknown command {name!r}{hint}; commands: {', '.join(commands)}"
    )
  commands[name](rest)


def _commands() -> dict[str, Callable[[list[str]], None]]:
  return {
    "run": _run_all,
    "search": _search,
    "select": _select,
    "evaluate": _evaluate,
    "transfer": _transfer,
    "export": _export,
    "report": _report,
    "plan": _plan,
    "bench": _bench,
    "analyze": _analyze,
    "genotype": _genotype,
    "benchmark": _benchmark,
    "claims": _claims,
    "latency": _latency,
    "list": _list,
  }


def _usage(commands: dict[str, Callable[[list[str]], None]]) -> str:
  lines = [f"usage: jnas COMMAND ...\n\n{_DESCRIPTION}\n\ncommands:"]
  for name, function in commands.items():
    doc = (function.__doc__ or "").splitlines()[0]
    lines.append(f"  {name:10s}{doc}")
  lines.append(
    "\n`jnas COMMAND --help` shows a command's options; --debug shows the "
    "traceback of an error."
  )
  return "\n".join(lines)


# --- commands


def _run_all(arguments: list[str]) -> None:
  """All stages: search, select, evaluate, report."""
  parser = options_lib.config_parser("run", _run_all.__doc__)
  options_lib.add_seeds(parser)
  options, config = options_lib.read_config(parser, arguments)
  runs = [
    (seeded, _workdir(workdir, seeded))
    for seeded, workdir in options_lib.per_seed(options, config, arguments)
  ]
  _prepare_jax(options)
  from jnas.pipeline import display, folder, stage
  from jnas.pipeline import run as pipeline

  for seeded, workdir in runs:  # the last one too, before the first takes hours
    folder.open_run(seeded, workdir)
  with _stoppable(stage.Stopped, display):
    for seeded, workdir in runs:
      pipeline.run(seeded, workdir)


def _search(arguments: list[str]) -> None:
  """Searches for a genotype."""
  parser = options_lib.config_parser("search", _search.__doc__)
  options, config = options_lib.read_config(parser, arguments)
  workdir = _workdir(options.workdir, config)
  _prepare_jax(options)
  from jnas.pipeline import display, search, stage

  with _stoppable(stage.Stopped, display):
    result = search.run(config, workdir)
    _print_genotype(result.genotype)


def _select(arguments: list[str]) -> None:
  """Selects the genotype from the searched supernet, edge by edge."""
  parser = options_lib.config_parser("select", _select.__doc__)
  options, config = options_lib.read_config(parser, arguments)
  workdir = _workdir(options.workdir, config)
  _prepare_jax(options)
  from jnas.pipeline import display, select, stage

  with _stoppable(stage.Stopped, display):
    result = select.run(config, workdir)
    _print_genotype(result.genotype)


def _evaluate(arguments: list[str]) -> None:
  """Trains the network of a genotype and random baselines."""
  parser = options_lib.config_parser("evaluate", _evaluate.__doc__)
  parser.add_argument(
    "--genotype",
    help="file, text or published name; default: what the search found",
  )
  options, config = options_lib.read_config(parser, arguments)
  workdir = _workdir(options.workdir, config)
  _prepare_jax(options)
  from jnas import genotype as genotypes
  from jnas.pipeline import display, evaluate, stage

  given = None
  if options.genotype is not None:
    given = genotypes.parse(options.genotype)
  with _stoppable(stage.Stopped, display):
    result = evaluate.run(config, workdir, genotype=given)
    _print_results(result)


def _transfer(arguments: list[str]) -> None:
  """Trains a genotype's network, as large as a target allows."""
  from jnas.pipeline import display, stage, transfer

  options, config = transfer.parse(arguments)
  _prepare_jax()
  with _stoppable(stage.Stopped, display):
    transfer.run(options, config)


def _export(arguments: list[str]) -> None:
  """Writes a trained network as StableHLO, weights and a Python file."""
  from jnas.pipeline import export

  options = export.parse(arguments)
  _prepare_jax()
  print(export.run(options))


def _report(arguments: list[str]) -> None:
  """Writes the page of a run, or one that compares several."""
  from jnas.pipeline import report

  report.run(report.parse(arguments))


def _plan(arguments: list[str]) -> None:
  """Parameters, steps, peak memory and time, before a run."""
  parser = options_lib.config_parser("plan", _plan.__doc__, workdir=False)
  parser.add_argument(
    "--rungs",
    action="store_true",
    help="the search also with Engine and Transit cells, shared features and "
    "bottleneck one after the other",
  )
  options_lib.add_json(parser)
  options, config = options_lib.read_config(parser, arguments)
  _prepare_jax(options)
  from jnas.pipeline import plan

  result = plan.run(config, rungs=options.rungs)
  if options.json:
    print(json.dumps(result))
  else:
    _print_plan(result)


def _bench(arguments: list[str]) -> None:
  """Step time, compile time and memory; estimators; loader of images."""
  parser = options_lib.config_parser("bench", _bench.__doc__, workdir=False)
  parser.add_argument(
    "--compare",
    nargs=2,
    metavar=("A", "B"),
    help="two settings, timed in turn: 'search.channels=8 JNAS_NATIVE=0' "
    "changes a field and the environment, 'base' nothing",
  )
  parser.add_argument(
    "what", choices=("step", "select", "evaluate", "estimators", "data")
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
  options_lib.add_json(parser)
  options, config = options_lib.read_config(parser, arguments)
  if options.repeats < 1:
    raise ValueError(f"--repeats is {options.repeats}; it must be at least 1")
  _prepare_jax(options)
  if options.what == "estimators":
    _bench_estimators(options, config)
    return
  from jnas.pipeline import bench, bench_select, compare, loading

  if options.compare is not None:
    if options.what not in bench.WORKLOADS:
      raise ValueError(
        f"--compare with {options.what!r}: it takes "
        f"{', '.join(bench.WORKLOADS)}"
      )
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
    "data": loading.run,
  }
  result = measure[options.what](config, repeats=options.repeats)
  if options.json:
    print(json.dumps(result))
  else:
    for name, value in result.items():
      print(f"{name:20s} {_pretty(name, value)}")


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


def _latency(arguments: list[str]) -> None:
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
    "latency", _latency.__doc__, workdir=False, devices=False
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
  _prepare_jax()
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


def _analyze(arguments: list[str]) -> None:
  """What PT says of supernets, measured on a run's: strength, skip, shuffle."""
  parser = options_lib.Parser(prog="jnas analyze", description=_analyze.__doc__)
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
  _prepare_jax()
  from jnas.pipeline import analysis

  result = analysis.run(
    options.what,
    pathlib.Path(options.workdir),
    edges=options.edges,
    epochs=options.epochs,
    draws=options.draws,
  )
  print(json.dumps(result))


def _genotype(arguments: list[str]) -> None:
  """Shows, counts, draws or converts a genotype."""
  parser = options_lib.Parser(
    prog="jnas genotype", description=_genotype.__doc__
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


def _benchmark(arguments: list[str]) -> None:
  """Real accuracy, rank and regret of cells of NAS-Bench-201."""
  parser = options_lib.Parser(
    prog="jnas benchmark", description=_benchmark.__doc__
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


def _claims(arguments: list[str]) -> None:
  """Runs the papers' claims at small scale and says which hold."""
  parser = options_lib.Parser(prog="jnas claims", description=_claims.__doc__)
  parser.add_argument(
    "claims", nargs="*", metavar="CLAIM", help="P1, P2, ...; default: all"
  )
  parser.add_argument(
    "--source", default="cifar10", help="of the images, as data.source"
  )
  parser.add_argument(
    "--seeds", type=int, nargs="+", default=[0, 1, 2], help="default 0 1 2"
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
  parser.add_argument("--workdir", default="runs/claims")
  options_lib.add_json(parser)
  options = parser.parse_args(arguments)
  _prepare_jax()
  from jnas.pipeline import claims, display, stage

  with _stoppable(stage.Stopped, display):
    rows = claims.run(
      options.claims,
      source=options.source,
      seeds=options.seeds,
      workdir=pathlib.Path(options.workdir),
      epochs=options.epochs,
      table=options.table,
    )
    if options.json:
      print(json.dumps(rows))
    else:
      claims.show(rows)


def _list(arguments: list[str]) -> None:
  """Lists what can be named: methods, spaces, ops, cells, configs ..."""
  parser = options_lib.Parser(prog="jnas list", description=_list.__doc__)
  parser.add_argument("what", choices=_LISTS)
  options_lib.add_json(parser)
  options = parser.parse_args(arguments)
  names = _names(options.what)
  print(json.dumps(names) if options.json else "\n".join(names))


def _names(what: str) -> list[str]:
  if what == "configs":
    return list(configs.shipped())
  if what == "combinations":
    from jnas.pipeline import compatibility

    return compatibility.table().splitlines()
  if what == "cells":
    from jnas import genotype

    return list(genotype.published())
  if what == "devices":
    import jax

    from jnas.native import lowering

    devices = [f"{device} ({device.device_kind})" for device in jax.devices()]
    return [*devices, f"CPU operations: {lowering.describe()}"]
  from jnas import data, methods, ops, selection, spaces

  tables = {
    "methods": methods.METHODS,
    "spaces": spaces.SPACES,
    "ops": ops.OPS,
    "selectors": selection.SELECTORS,
    "datasets": data.DATASETS,
  }
  return list(tables[what])


# --- setting up


def _workdir(given: str | None, config: configs.Config) -> pathlib.Path:
  if given == "":
    raise ValueError("--workdir is empty; give the path of a folder")
  if given is not None:
    return pathlib.Path(given)
  return pathlib.Path("runs") / f"{config.name}-s{config.seed}"


def _prepare_jax(options: argparse.Namespace | None = None) -> None:
  """Settings that must be made before the first compilation."""
  import jax

  from jnas.training import memory

  memory.keep_freed_memory()
  cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  if jax.config.values["jax_compilation_cache_dir"] is None:
    jax.config.update(
      "jax_compilation_cache_dir", str(pathlib.Path(cache) / "jnas" / "xla")
    )
  if options is not None:
    machines.start(options)


@contextlib.contextmanager
def _stoppable(stopped: type[Exception], display: Any):
  """A stop on request is not an error: one line, exit code 0."""
  try:
    yield
  except stopped as error:
    display.say(str(error))
    sys.exit(0)


# --- output for people


def _print_genotype(genotype: Any) -> None:
  """The DARTS form where it can say it, JSON elsewhere."""
  from jnas import genotype as genotypes

  try:
    print(genotypes.to_darts(genotype))
  except ValueError:
    print(genotypes.to_json(genotype))


def _print_results(result: Any) -> None:
  print(f"test accuracy {result.summary['test_accuracy']:.2%}")
  for index, baseline in enumerate(result.baselines):
    print(f"random {index} test accuracy {baseline['test_accuracy']:.2%}")


def _print_plan(result: dict[str, Any]) -> None:
  for title, part in (
    ("data", result["data"]),
    ("search", {k: v for k, v in result.items() if not _is_nested(v)}),
    ("evaluate (a random genotype)", result["evaluate"]),
    ("loader", result.get("loader", {})),
  ):
    if not part:
      continue
    print(title)
    for name, value in part.items():
      print(f"  {name:14s} {_pretty(name, value)}")
  if "rungs" in result:
    import rich.console
    import rich.table

    names = ("supernet", "params", "madds", "peak_bytes", "step_s", "eta_s")
    table = rich.table.Table(title="search, with more savings in each row")
    for name in names:
      table.add_column(name, justify="left" if name == "supernet" else "right")
    for rung in result["rungs"]:
      table.add_row(*(_pretty(name, rung[name]) for name in names))
    rich.console.Console().print(table)


def _is_nested(value: Any) -> bool:
  return isinstance(value, dict | list)


def _pretty(name: str, value: Any) -> str:
  if name.endswith("_bytes"):
    return f"{value / 2**30:.2f} GiB"
  if name == "eta_s":
    return f"{value / 3600:.1f} h"
  if name.endswith(("images_per_s", "_takes")) and value is not None:
    return f"{value:,.1f}" + (" images/s" if name.endswith("_takes") else "")
  if name.endswith("_s") and isinstance(value, float):
    return f"{value:.3f} s"
  if isinstance(value, int):
    return f"{value:,}"
  return str(value)


if __name__ == "__main__":
  main()
