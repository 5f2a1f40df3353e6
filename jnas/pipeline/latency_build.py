"""Building a table of latencies, in three parts.

Operations timed alone; networks sampled and timed through one program that
branches, on which a linear model is fitted; and a few networks compiled for
themselves, which correct the former two and say how far off they are.

Source: UNAS, Sec. 5; SPEC 3.9, "surrogate g".
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnas import config as configs
from jnas import genotype as genotypes
from jnas import latency as tables
from jnas import registry
from jnas.functional import surrogate
from jnas.genotype import Genotype
from jnas.latency import Table, Timing
from jnas.nets import timed
from jnas.pipeline import display, latency, networks, problem
from jnas.pipeline.latency import HostWeights
from jnas.selection import connections
from jnas.spaces import SPACES, Space
from jnas.training import checkpoint

# Source: SPEC 3.9: 10,000 networks, 80 % to fit; ridge 1 as in the authors'
# code (D26).
NUM_SAMPLES = 10_000
REPEATS = 10
NUM_COMPILED = 6
BATCH_SIZE = 32
WARMUP = 3
_FIT_SHARE = 0.8
_RIDGE = 1.0
# Change of one network's latency in the course of a build that is remarked on.
_MOST_DRIFT = 0.1


class Effort(NamedTuple):
  """How much is measured.

  Attributes:
    batch_size: images in a batch; 32 in UNAS.
    samples: networks timed through the program that branches.
    repeats: timed runs of each program; 10 in UNAS.
    compiled: networks compiled for themselves; half of them correct, the other
      half judge.
  """

  batch_size: int = BATCH_SIZE
  samples: int = NUM_SAMPLES
  repeats: int = REPEATS
  compiled: int = NUM_COMPILED


def build(
  config: configs.Config, out: str | pathlib.Path, effort: Effort
) -> Table:
  """Measures the latency of a config's derived networks on this device.

  Args:
    config: whose space and `evaluate` network are timed.
    out: file to write.
    effort: how much is measured.

  Raises:
    ValueError: for bad input, before anything is compiled.
  """
  _check_effort(effort)
  found = problem.prepare(config)
  networks.check_evaluate(found)
  family = latency.timed_family(found)
  path = pathlib.Path(out)
  checkpoint.check_writable(path.parent)
  plan = networks.evaluate_plan(found)
  settings = networks.derived_settings(found)
  height, width, _ = found.info.image_shape
  assert family.timed_layers is not None
  layers = _time_layers(
    family.timed_layers(found.space, plan, settings, height, width), effort
  )
  shapes = {
    name: found.space.mask(name).shape for name in found.space.cell_types
  }
  operations = tables.add_layers(layers, shapes)
  program = latency.Program(found, effort.batch_size, effort.repeats)
  drawn = latency.draw(found, effort.samples + effort.compiled)
  compiled = _time_compiled(found, program, drawn[effort.samples :], effort)
  fit, judge = compiled[: len(compiled) // 2], compiled[len(compiled) // 2 :]
  correction = _correct(fit)
  samples = drawn[: effort.samples]
  before = program.time(samples[0]).median_ms
  indexed = _time_samples(program, samples)
  drift = program.time(samples[0]).median_ms / before - 1
  if abs(drift) > _MOST_DRIFT:
    display.warn(
      f"one network took {drift:+.0%} longer after the samples than before: "
      "something else keeps the device busy, so the latencies are of no use"
    )
  latencies = correction["offset"] + correction["scale"] * indexed
  model, errors = _fit(samples, latencies)
  errors["drift"] = drift
  added = [_add(operations, row["weights"]) for row in compiled]
  rest = float(
    np.mean(
      [
        row["measured_ms"] - total
        for row, total in zip(fit, added, strict=False)
      ]
    )
  )
  for row, total in zip(compiled, added, strict=True):
    row["indexed_ms"] = (
      correction["offset"] + correction["scale"] * row["raw_ms"]
    )
    row["surrogate_ms"] = float(surrogate.predict(model, row["weights"]))
    row["table_ms"] = rest + total
  for name in ("indexed", "surrogate", "table"):
    off = [abs(row[f"{name}_ms"] - row["measured_ms"]) for row in judge]
    errors[f"{name}_to_compiled_ms"] = float(np.mean(off))
  for row in compiled:
    del row["weights"], row["raw_ms"]
  table = Table(
    space=found.config.space,
    network=latency.network(found),
    batch_size=effort.batch_size,
    dtype="float32",
    device=tables.describe_device(),
    repeats=effort.repeats,
    layers=layers,
    rest_ms=rest,
    coefficients={
      name: np.asarray(value).tolist()
      for name, value in model.coefficients.items()
    },
    bias=float(model.bias),
    correction=correction,
    errors=errors,
    compiled=tuple(compiled),
  )
  tables.save(path, table)
  return table


def measure(
  config: configs.Config, genotype: Genotype, effort: Effort
) -> Timing:
  """Compiles the network of a genotype for itself, and times it.

  Raises:
    ValueError: for a genotype that does not fit the config.
  """
  _check_effort(effort)
  found = problem.prepare(config)
  networks.check_evaluate(found)
  return _time_derived(found, genotype, effort)


def show(path: str, *, as_json: bool) -> None:
  """Prints a table: what was timed, its errors, the operations.

  Raises:
    FileNotFoundError: for a table that is not there.
    ValueError: for a file that is none.
  """
  table = tables.load(path)
  if as_json:
    print(json.dumps(dataclasses.asdict(table)))
    return
  network = table.network
  print(
    f"space {table.space}: {network['cells']} cells, C {network['channels']}"
  )
  print(
    f"on {table.device['kind']}, batch {table.batch_size} of "
    f"{'x'.join(map(str, network['image_shape']))}, {table.dtype}; medians of "
    f"{table.repeats} runs, in ms"
  )
  for name, value in table.errors.items():
    print(f"  {name.removesuffix('_ms'):24s} {value:8.3f}")
  print(f"  {'rest':24s} {table.rest_ms:8.3f}")
  space = registry.resolve(table.space, SPACES, "space", of=Space)
  for cell_type, rows in table.operations().items():
    print(f"{cell_type}: operations timed alone, added up over the layers")
    for edges, names, row in _alike(rows, space.ops[cell_type]):
      parts = [
        f"{name} {value:.3f}" for name, value in zip(names, row, strict=False)
      ]
      print(f"  {edges:>5s}  {', '.join(parts)}")


def _alike(
  rows: np.ndarray, names: Sequence[Sequence[str]]
) -> list[tuple[str, Sequence[str], np.ndarray]]:
  """Neighbours with the same operations and latencies in one line."""
  lines: list[tuple[str, Sequence[str], np.ndarray]] = []
  first = 0
  for edge in range(len(rows)):
    following = edge + 1
    if (
      following < len(rows)
      and names[following] == names[edge]
      and np.array_equal(rows[following], rows[edge])
    ):
      continue
    label = f"{first}" if first == edge else f"{first}-{edge}"
    lines.append((label, names[edge], rows[edge]))
    first = following
  return lines


def _time_layers(
  layers: list[timed.TimedLayer], effort: Effort
) -> tuple[Mapping[str, Any], ...]:
  """Operations timed alone, equal ones once."""
  different = {
    op.name: op
    for layer in layers
    for row in layer.rows
    for op in row
    if op is not None
  }
  timings: dict[Any, Timing] = {None: Timing(0.0, 0.0)}
  with display.progress("operations", len(different)) as shown:
    for number, (name, op) in enumerate(different.items()):
      x = jnp.zeros((1, effort.batch_size, *op.shape))
      variables = timed.fill(op.module, x, train=False)
      timings[name] = _time_module(op.module, variables, x, effort)
      shown.update(number + 1, timings[name].median_ms)
  return tuple(
    {
      "cell_type": layer.cell_type,
      "rows": [layer.first_row, len(layer.rows)],
      **{
        field: [
          [
            getattr(timings[None if op is None else op.name], field)
            for op in row
          ]
          for row in layer.rows
        ]
        for field in Timing._fields
      },
    }
    for layer in layers
  )


def _time_module(
  module: Any, variables: Any, x: jax.Array, effort: Effort
) -> Timing:
  key = jax.random.key(0)
  apply = functools.partial(module.apply, train=False, rngs={"noise": key})
  run = jax.jit(apply).lower(variables, x).compile()
  variables = jax.device_put(variables)
  return tables.time_calls(
    run, variables, x, warmup=WARMUP, repeats=effort.repeats
  )


def _time_derived(
  found: problem.Problem, genotype: Genotype, effort: Effort
) -> Timing:
  """The network of a genotype, compiled for itself."""
  net = networks.derived_net(found, genotype)
  images = jnp.zeros((effort.batch_size, *found.info.image_shape))
  variables = timed.fill(net, images, train=False)
  with display.waiting("compiling a network for itself"):
    return _time_module(net, variables, images, effort)


def _time_compiled(
  found: problem.Problem,
  program: latency.Program,
  drawn: list[HostWeights],
  effort: Effort,
) -> list[dict[str, Any]]:
  """Networks compiled for themselves, and timed through the program."""
  rows = []
  with display.progress("compiled networks", len(drawn)) as shown:
    for number, weights in enumerate(drawn):
      genotype = connections.from_counts(weights, found.space)
      timing = _time_derived(found, genotype, effort)
      rows.append(
        {
          "genotype": genotypes.to_dict(genotype),
          "measured_ms": timing.median_ms,
          "spread_ms": timing.spread_ms,
          "raw_ms": program.time(weights).median_ms,
          "weights": weights,
        }
      )
      shown.update(number + 1, timing.median_ms)
  return rows


def _time_samples(
  program: latency.Program, samples: list[HostWeights]
) -> np.ndarray:
  """`[N]` milliseconds of the program that branches."""
  taken = np.zeros(len(samples))
  with display.progress("sampled networks", len(samples)) as shown:
    for number, weights in enumerate(samples):
      taken[number] = program.time(weights).median_ms
      shown.update(number + 1, taken[number])
  return taken


def _fit(
  samples: list[HostWeights], latencies: np.ndarray
) -> tuple[surrogate.LinearModel, dict[str, float]]:
  """The linear model of four fifths of the samples, judged on the others."""
  stacked = {
    name: jnp.stack([jnp.asarray(weights[name]) for weights in samples])
    for name in samples[0]
  }
  split = int(_FIT_SHARE * len(samples))
  target = jnp.asarray(latencies, jnp.float32)
  model = surrogate.fit(
    jax.tree.map(lambda leaf: leaf[:split], stacked),
    target[:split],
    ridge=_RIDGE,
  )
  off = jnp.abs(surrogate.predict(model, stacked) - target)
  return model, {
    "fit_mae_ms": float(jnp.mean(off[:split])),
    "held_out_mae_ms": float(jnp.mean(off[split:])),
    "samples_mean_ms": float(jnp.mean(target)),
    "samples_deviation_ms": float(jnp.std(target)),
  }


def _correct(compiled: list[dict[str, Any]]) -> dict[str, float]:
  """From the program that branches to a network compiled for itself.

  Choice: a constant, the mean difference: what branching costs does not depend
  on the branches. A factor besides would rest on the noise of a few networks.
  """
  differences = [row["measured_ms"] - row["raw_ms"] for row in compiled]
  return {"scale": 1.0, "offset": float(np.mean(differences))}


def _add(operations: Mapping[str, np.ndarray], weights: HostWeights) -> float:
  return float(
    sum(np.sum(operations[name] * weights[name]) for name in operations)
  )


def _check_effort(effort: Effort) -> None:
  for name, least in (
    ("batch_size", 1),
    ("samples", 10),
    ("repeats", 1),
    ("compiled", 2),
  ):
    value = getattr(effort, name)
    if value < least:
      option = name.replace("_", "-")
      raise ValueError(f"--{option} is {value}; it must be at least {least}")
