"""What a step of a search costs: operations, memory and time.

Source: EnTranNAS (arXiv:2101.11342), Table 3; SPEC 5, P6 and P7.
"""

import dataclasses
import pathlib
import statistics
from typing import Any

import jax

from jnas import config as configs
from jnas.pipeline import bench, display, problem, programs
from jnas.training import keys, memory, steps
from jnas.training.keys import Stage

_REPEATS = 3


def step_cost(config: configs.Config, path: pathlib.Path) -> dict[str, Any]:
  """What a step of the weights and one of the architecture take together.

  Args:
    config: of the search.
    path: the run folder; nothing is needed there.

  Returns:
    `flops`; `peak_bytes`, the larger of the two steps'; `step_s`, the sum of
    the medians of three runs each. Memory and time are those of this machine.
  """
  del path
  workload = bench.search_workload(config)
  peaks, seconds = [], []
  for name, function in workload.steps.items():
    with display.waiting(f"compiling {name.removesuffix('_s')}"):
      compiled = bench.compile_step(function, workload)
    peaks.append(memory.compiled_peak_bytes(compiled))
    timed = bench.timer(compiled, workload)
    timed()  # finds its memory
    seconds.append(statistics.median(timed() for _ in range(_REPEATS)))
  return {
    "flops": _flops(config, workload),
    "peak_bytes": max(peaks),
    "step_s": sum(seconds),
  }


def _flops(config: configs.Config, workload: bench.Workload) -> float:
  """Floating-point operations of both steps, as XLA counts them.

  Transit-cells are those of the cell that the first architecture derives,
  without branches, and the operations are XLA's convolutions: of branches,
  loops and native kernels XLA counts nothing, or too much.
  """
  supernet = dataclasses.replace(config.supernet, transit="recompile")
  found = problem.prepare(dataclasses.replace(config, supernet=supernet))
  search = programs.make(
    found, bench.random_dataset(found, workload.batch_size)
  )
  state, batch = workload.state, workload.batch
  search = programs.with_structure(search, state)
  base_key = keys.base(config.seed, Stage.SEARCH)
  total = 0.0
  for make, seen in (
    (steps.make_weight_step, batch),
    (steps.make_arch_step, (batch, batch)),
  ):
    arguments = jax.tree.map(_described, (base_key, state, seen))
    traced = jax.jit(make(search)).trace(*arguments)
    analysis = traced.lower(lowering_platforms=("cuda",)).cost_analysis()
    total += float((analysis or {})["flops"])
  return total


def _described(leaf: jax.Array) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
