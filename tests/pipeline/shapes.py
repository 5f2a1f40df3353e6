"""Every method on 1, 4, 2 and 4 devices of one and two processes; a tool.

  python -m tests.pipeline.shapes --workdir shapes [--cases darts snas ...]

Each case is a search of 20 steps on real images, with a selection and an
evaluation where the case asks for them; all cases run one after the other in
each shape. Prints how far the numbers of metrics.jsonl are from those of one
device, as `devices_test.assert_same` measures it, and whether the genotypes
are the same. What is in the folder already is not run again.

  --double     in float64, in a folder of its own, without the evaluation
  --shapes     which ones; 1x1-xla is one device without the native kernels,
               which is another rounding of the same numbers

In float32 some cases differ by more than 1e-5 after 20 steps: sums of another
order change a number by 1e-7, sooner or later one of a million ReLUs or max
pools decides otherwise for it, and the gradient jumps by 1e-3 of its size. Two
runs on one device whose first weights differ by 1e-7 part in the same way, in
float64 too. So a difference counts as a fault if it is there with --double,
where nothing above 1e-12 should be left.

Half a minute to two minutes for each case and shape on two cores.
"""

import argparse
import dataclasses
import functools
import json
import os
import pathlib
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnas import config as configs
from jnas import machines
from jnas.data import placing
from jnas.pipeline import evaluate, latency_build, search, select
from jnas.spaces import Space
from jnas.training import batches, metrics
from tests.pipeline import tiny_mbconv
from tests.pipeline.devices_test import SAME, differences
from tests.pipeline.processes_test import Launched

# Processes and devices of each.
SHAPES = {
  "1x1": (1, 1),
  "1x4": (1, 4),
  "2x1": (2, 1),
  "2x2": (2, 2),
  "1x1-xla": (1, 1),
}
PROGRAM = ("-m", "tests.pipeline.shapes", "inside")
OPS = ("max_pool_3x3", "skip_connect", "dil_conv_3x3")
SPACE = Space(
  name="shapes",
  num_inputs=2,
  num_nodes=1,
  ops={"normal": (OPS,) * 2, "reduce": (OPS,) * 2},
  concat=(2,),
)


def base_config() -> configs.Config:
  """The quickstart's recipe on few images: 20 steps, 10 an epoch."""
  return configs.Config(
    name="shapes",
    space="tests.pipeline.shapes:SPACE",
    data=configs.DataConfig(
      limit=320, test_limit=100, image_size=16, crop_padding=2
    ),
    search=configs.SearchConfig(
      cells=3, channels=8, epochs=2, batch_size=16, arch_lr=3e-3
    ),
    selection=configs.SelectionConfig(batch_size=32, tune_epochs=1),
    evaluate=configs.EvaluateConfig(
      cells=3,
      channels=8,
      epochs=1,
      batch_size=16,
      cutout=4,
      random_baselines=0,
    ),
  )


def change(
  config: configs.Config,
  method: str,
  settings: Any = None,
  **sections: Any,
) -> configs.Config:
  """The config with a method, its settings, and fields of other sections."""
  config = dataclasses.replace(
    config, method=configs.MethodConfig(name=method, settings=settings or {})
  )
  for section, fields in sections.items():
    changed = dataclasses.replace(getattr(config, section), **fields)
    config = dataclasses.replace(config, **{section: changed})
  return config


ENGINE = {"engine": "first", "share_features": True, "bottleneck": 4}


def cases(base: configs.Config) -> dict[str, configs.Config]:
  """A search by every method, and of what else a device could tell apart."""
  case = functools.partial(change, base)
  return {
    "darts": case("darts"),
    "darts_drops": case(
      "darts",
      search={
        "drop_path": 0.2,
        "drop_skip": 0.3,
        "arch_moves_statistics": True,
      },
      supernet={"remat": "cell"},
    ),
    "darts_single_level": case("darts", search={"scheme": "single_level"}),
    "darts_second_order": case("darts", search={"scheme": "second_order"}),
    "darts_second_order_fd": case(
      "darts",
      search={"scheme": "second_order", "hessian": "finite_difference"},
    ),
    "snas": case("snas", {"level": "mild"}),
    "snas_per_example": case(
      "snas", {"target_params": 9000.0, "per_example": True}
    ),
    "entrannas": case("entrannas"),
    "entrannas_engine": case("entrannas", supernet=ENGINE, search={"cells": 4}),
    "entrannas_dst": case("entrannas_dst"),
    "entrannas_dst_engine": case(
      "entrannas_dst", supernet=ENGINE, search={"cells": 4}
    ),
    "sdarts_rs": case("sdarts_rs"),
    "sgas": case("sgas", {"first_decision": 0, "decide_every": 1}),
    "pc_darts": case("pc_darts", supernet={"partial_channels": 4}),
    "gdas": case("gdas"),
    "unas_rebar": case("unas"),
    "unas_rebar_per_example": case(
      "unas", {"per_example": True, "gap": "per_example"}
    ),
    "unas_reinforce": case("unas", {"estimator": "reinforce"}),
    "unas_gs": case("unas", {"estimator": "gumbel_softmax"}),
    "unas_relax": case(
      "unas",
      {"latency_table": "TABLE", "latency_target": 0.0},
      evaluate={"auxiliary_weight": 0.0},
    ),
    "random": case("random", {"num_candidates": 2}),
    "random_sharing": case(
      "random_sharing", selection={"name": "sampled", "num_samples": 20}
    ),
    "p_darts": case(
      "darts",
      search={"epochs": 1},
      progressive={
        "cells": (3, 4),
        "ops": (3, 2),
        "drop_skip": (0.0, 0.4),
        "max_skips": 2,
      },
    ),
    "nasbench201": dataclasses.replace(case("darts"), space="nasbench201"),
    "mbconv": dataclasses.replace(
      case("unas", {"cell": "edges"}), space=tiny_mbconv.get_config().space
    ),
    # On a node that has edges to lose.
    "darts_pt_evaluate": dataclasses.replace(
      case(
        "darts",
        selection={"name": "perturbation"},
        evaluate={"auxiliary_weight": 0.0},
      ),
      space="tests.pipeline.tiny_selection:SPACE",
    ),
  }


CASES = cases(base_config())


def main(arguments: list[str]) -> None:
  """Runs the cases in the shapes, and prints what differs."""
  parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
  parser.add_argument("--workdir", type=pathlib.Path, required=True)
  parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
  parser.add_argument(
    "--shapes", nargs="+", choices=SHAPES, default=["1x1", "1x4", "2x1", "2x2"]
  )
  parser.add_argument("--double", action="store_true")
  options = parser.parse_args(arguments)
  options.workdir.mkdir(parents=True, exist_ok=True)
  for shape in options.shapes:
    begin = time.monotonic()
    launch(shape, options)
    seconds = time.monotonic() - begin
    print(f"{shape}: {seconds:.0f} s", file=sys.stderr, flush=True)
  print("| case | shape | " + " | ".join(TITLES) + " |")
  print("| --- | --- | " + " | ".join("---" for _ in TITLES) + " |")
  for name in options.cases:
    for shape in options.shapes[1:]:
      columns = compare(
        options.workdir / shape / name, options.workdir / "1x1" / name
      )
      print(f"| {name} | {shape} | " + " | ".join(columns) + " |")


def launch(shape: str, options: argparse.Namespace) -> None:
  """Runs all cases in one shape, in processes of their own."""
  number, devices = SHAPES[shape]
  os.environ["JNAS_NATIVE"] = "0" if shape.endswith("xla") else "1"
  cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", options.workdir / "xla")
  started = Launched(
    cache,
    number,
    *("--devices", str(devices), "--workdir", str(options.workdir / shape)),
    *(("--double",) if options.double else ()),
    *("--cases", *options.cases),
    program=PROGRAM,
  )
  with started:
    for code, out, err in started.finish(timeout=3600):
      if code or "Traceback" in err:
        print(out, err, file=sys.stderr)


def inside(arguments: list[str]) -> None:
  """One process of one shape: all cases, one after the other."""
  parser = argparse.ArgumentParser()
  machines.add_devices(parser)
  machines.add_processes(parser)
  parser.add_argument("--workdir", type=pathlib.Path)
  parser.add_argument("--cases", nargs="+")
  parser.add_argument("--double", action="store_true")
  options, _ = parser.parse_known_args(arguments)
  if options.double:
    widen()
  machines.start(options)
  for name in options.cases:
    config, folder = CASES[name], options.workdir / name
    try:
      if config.method.settings.get("latency_table"):
        config = with_table(config, options.workdir.parent / "latency.json")
      search.run(config, folder)
      if config.selection.name != "none":
        select.run(config, folder)
        if not options.double:
          evaluate.run(config, folder)
    except Exception:
      traceback.print_exc()
    jax.clear_caches()
  machines.leave(0)


def with_table(config: configs.Config, path: pathlib.Path) -> configs.Config:
  """The config with a latency table, which the first shape measures."""
  if not path.exists():
    effort = latency_build.Effort(
      batch_size=2, samples=20, repeats=1, compiled=2
    )
    latency_build.build(change(config, "unas"), path, effort)
  settings = {**config.method.settings, "latency_table": str(path)}
  return change(config, config.method.name, settings)


def widen() -> None:
  """From here on the program computes in float64, images included."""
  jax.config.update("jax_enable_x64", True)
  # The kernels have read their own types: they are not used for float64.
  jnp.float32 = jnp.float64

  def wide(leaf: Any) -> Any:
    is_single = leaf.dtype == np.float32
    return leaf.astype(np.float64) if is_single else leaf

  def widened(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: jax.tree.map(wide, function(*args))

  put = placing.put
  placing.put = lambda tree, sharding: put(
    jax.tree.map(
      lambda leaf: wide(leaf) if isinstance(leaf, np.ndarray) else leaf, tree
    ),
    sharding,
  )
  batches.Images.training = widened(batches.Images.training)
  batches.Images.plain = widened(batches.Images.plain)


# Of the columns of `compare`.
TITLES = (
  "largest difference by step",
  "accuracies",
  "genotype",
  "above 1e-5",
)


def compare(folder: pathlib.Path, reference: pathlib.Path) -> tuple[str, ...]:
  """The differences of a run, accuracies apart: they jump by whole images."""
  if not (folder.exists() and reference.exists()):
    return ("not run", "", "", "")
  by_step: dict[str, float] = {}
  accuracies, above = 0.0, set[str]()
  for path in sorted(reference.rglob("metrics.jsonl")):
    stage = str(path.parent.relative_to(reference))
    pairs = zip(
      *(
        metrics.strip_times(metrics.MetricsFile(file).read())
        for file in (folder / path.relative_to(reference), path)
      ),
      strict=False,
    )
    for got, wanted in pairs:
      try:
        apart = differences(got, wanted)
      except AssertionError:
        above.add("other numbers")
        continue
      above |= {short(name) for name in apart if apart[name] > SAME}
      jumps = {name for name in apart if "accuracy" in name or "gap" in name}
      accuracies = max([accuracies, *(apart[name] for name in jumps)])
      rest = max([0.0, *(apart[name] for name in apart.keys() - jumps)])
      step = f"{stage} {got.get('step', wanted['kind'])}"
      by_step[step] = max(by_step.get(step, 0.0), rest)
  is_same = cells(folder) == cells(reference)
  return (
    ", ".join(
      f"{step.removeprefix('search ')}: {value:.0e}"
      for step, value in by_step.items()
      if not step.endswith(("header", "summary"))
    ),
    f"{accuracies:.0e}",
    "same" if is_same else "OTHER",
    " ".join(sorted(above)),
  )


def short(name: str) -> str:
  """The first part of a number's name."""
  return name.split("'")[1]


def cells(folder: pathlib.Path) -> Any:
  """What was found, in every file of a run."""
  found = {}
  for path in folder.rglob("*genotype*.json"):
    read = json.loads(path.read_text())
    read.pop("provenance", None)
    found[path.relative_to(folder)] = read
  return found


if __name__ == "__main__":
  words = sys.argv[1:]
  inside(words[1:]) if words[:1] == ["inside"] else main(words)
