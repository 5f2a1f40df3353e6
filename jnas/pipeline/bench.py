"""Step time, compile time and memory of a config's steps on this machine.

No data are needed: the images are random bytes of the config's shape.
"""

import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jnas import config as configs
from jnas.data.base import Dataset, Split
from jnas.native import lowering
from jnas.pipeline import (
  display,
  networks,
  problem,
  programs,
  stage,
)
from jnas.pipeline import training as training_stage
from jnas.selection import random as random_selection
from jnas.training import keys, memory, sharding, steps, train_steps
from jnas.training.keys import Stage


class Workload(NamedTuple):
  """The steps of a stage and what they are run on.

  Attributes:
    steps: `(state, batch) -> state` or `(state, loss)`, by the name of their
      time; they donate the state.
    state: that the steps start from.
    batch: of every step.
    batch_size: images in it.
  """

  steps: dict[str, Callable[..., Any]]
  state: Any
  batch: Any
  batch_size: int


def search_workload(config: configs.Config) -> Workload:
  """The two steps of a search, of the weights and of the architecture.

  Raises:
    ValueError: for bad input.
  """
  found = problem.prepare(config)
  networks.search_net(found)
  problem.check_devices(config)
  batch_size = config.search.batch_size
  dataset = random_dataset(found, batch_size)
  parts = programs.make(found, dataset)
  base_key = keys.base(config.seed, Stage.SEARCH)
  state = programs.init_state(parts, base_key, found.info.image_shape)
  state, train = stage.place(state, dataset.train, batch_size=batch_size)
  parts = programs.with_structure(parts, state)
  base_key = jax.device_put(base_key, state.step.sharding)
  weight_step = functools.partial(steps.make_weight_step(parts), base_key)
  functions: dict[str, Callable[..., Any]] = {"step_s": weight_step}
  if parts.moves_arch:
    arch_step = steps.make_arch_step(parts)

    def on_one_batch(state: Any, batch: Any) -> Any:
      return arch_step(base_key, state, (batch, batch))

    functions["arch_step_s"] = on_one_batch
  return Workload(functions, state, train.first(), batch_size)


def evaluate_workload(config: configs.Config) -> Workload:
  """The training step of a derived network, of a random genotype.

  Raises:
    ValueError: for bad input.
  """
  found = problem.prepare(config)
  networks.check_evaluate(found)
  problem.check_devices(config)
  batch_size = config.evaluate.batch_size
  dataset = random_dataset(found, batch_size)
  base_key = keys.base(config.seed, Stage.EVALUATE)
  genotype = random_selection.sample(base_key, found.space)
  training = training_stage.make(
    found, dataset, networks.derived_net(found, genotype)
  )
  state = training_stage.init_state(training, base_key, found.info.image_shape)
  state = training_stage.with_average(found.config.evaluate, state)
  state, train = stage.place(state, dataset.train, batch_size=batch_size)
  base_key = jax.device_put(base_key, state.step.sharding)
  function = functools.partial(train_steps.make_train_step(training), base_key)
  return Workload({"step_s": function}, state, train.first(), batch_size)


WORKLOADS = {"step": search_workload, "evaluate": evaluate_workload}


def run_step(config: configs.Config, *, repeats: int) -> dict[str, Any]:
  """Measures the two steps of a search.

  Args:
    config: of the run.
    repeats: timed runs of each step, after one that is not counted.

  Returns:
    The fields of `jnas bench step --json`.

  Raises:
    ValueError: for bad input.
  """
  workload = search_workload(config)
  found, rss_bytes = measure(workload, repeats)
  weight = found["step_s"]
  # Null where one pass moves both.
  arch = found.get("arch_step_s", dict.fromkeys(weight))
  return {
    "step_s": weight["step_s"],
    "arch_step_s": arch["step_s"],
    "images_per_s": workload.batch_size / weight["step_s"],
    "compile_cold_s": weight["compile_cold_s"],
    "compile_warm_s": weight["compile_warm_s"],
    "arch_compile_cold_s": arch["compile_cold_s"],
    "arch_compile_warm_s": arch["compile_warm_s"],
    "peak_bytes": max(weight["peak_bytes"], arch["peak_bytes"] or 0),
    "rss_bytes": rss_bytes,
    "hlo_instructions": weight["hlo_instructions"],
    **_machine(workload.batch_size),
  }


def run_evaluate(config: configs.Config, *, repeats: int) -> dict[str, Any]:
  """Measures the training step of a derived network, of a random genotype.

  Args:
    config: of the run.
    repeats: timed runs, after one that is not counted.

  Returns:
    The fields of `jnas bench evaluate --json`.

  Raises:
    ValueError: for bad input.
  """
  return summarize_one(evaluate_workload(config), repeats)


def summarize_one(workload: Workload, repeats: int) -> dict[str, Any]:
  """Measures the only step of a workload."""
  found, rss_bytes = measure(workload, repeats)
  step = found["step_s"]
  return {
    **step,
    "images_per_s": workload.batch_size / step["step_s"],
    "rss_bytes": rss_bytes,
    **_machine(workload.batch_size),
  }


def random_dataset(found: problem.Problem, num_images: int) -> Dataset:
  """Noise in the shape of the config's data."""
  generator = np.random.default_rng(0)
  shape = (num_images, *found.info.image_shape)
  split = Split(
    images=generator.integers(0, 256, shape, dtype=np.uint8),
    labels=(np.arange(num_images) % found.info.num_classes).astype(np.int32),
  )
  channels = found.info.image_shape[-1]
  return Dataset(
    name="noise",
    train=split,
    test=split,
    class_names=tuple(map(str, range(found.info.num_classes))),
    mean=(0.5,) * channels,
    std=(0.25,) * channels,
  )


def measure(
  workload: Workload, repeats: int
) -> tuple[dict[str, dict[str, Any]], int]:
  """Compiles the steps and times them, then compiles them from the cache.

  Args:
    workload: its state is left as it is.
    repeats: timed runs of each step, after one that is not counted.

  Returns:
    Figures by the name of the step; the process's peak memory in bytes once
    each step was compiled and run, as in a search.
  """
  found: dict[str, dict[str, Any]] = {}
  with tempfile.TemporaryDirectory() as cache, _compile_cache(cache):
    programs = {}
    for name, function in workload.steps.items():
      with display.waiting(f"compiling {name.removesuffix('_s')}, cold"):
        programs[name], cold = _time_compile(function, workload)
      timed = timer(programs[name], workload)
      with display.waiting(f"timing {name.removesuffix('_s')}"):
        seconds = [timed() for _ in range(repeats + 1)]
      found[name] = {
        "step_s": statistics.median(seconds[1:]),
        "compile_cold_s": cold,
        "peak_bytes": memory.compiled_peak_bytes(programs[name]),
        "hlo_instructions": memory.instruction_count(programs[name]),
      }
    rss_bytes = memory.rss_peak_bytes()
    programs.clear()
    for name, function in workload.steps.items():
      jax.clear_caches()
      with display.waiting(f"compiling {name.removesuffix('_s')}, cached"):
        found[name]["compile_warm_s"] = _time_compile(function, workload)[1]
  return found, rss_bytes


def compile_step(function: Callable[..., Any], workload: Workload) -> Any:
  """Compiles one of the steps of a workload."""
  jitted = stage.jit(function, donate_argnums=0)
  return jitted.lower(workload.state, workload.batch).compile()


def timer(compiled: Any, workload: Workload) -> Callable[[], float]:
  """Returns a function that takes a step and says how long it took."""
  # A step donates its state.
  state = jax.tree.map(lambda leaf: leaf.copy(), workload.state)

  def take_step() -> float:
    nonlocal state
    began = time.perf_counter()
    out = jax.block_until_ready(compiled(state, workload.batch))
    seconds = time.perf_counter() - began
    state = out if type(out) is type(state) else out[0]
    return seconds

  return take_step


def time_second(take_step: Callable[[Any], Any], state: Any) -> float:
  """Seconds of a step; not of the first, for which memory is found."""
  state = jax.block_until_ready(take_step(state))
  began = time.perf_counter()
  jax.block_until_ready(take_step(state))
  return time.perf_counter() - began


class _compile_cache:  # noqa: N801, reads as a function at its call
  """A persistent compile cache of its own for a `with` block."""

  _SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
  )

  def __init__(self, path: str) -> None:
    self._values = (path, 0.0)

  def __enter__(self) -> None:
    self._before = [getattr(jax.config, name) for name in self._SETTINGS]
    self._set(self._values)

  def __exit__(self, *_: object) -> None:
    self._set(self._before)

  def _set(self, values: Any) -> None:
    from jax.experimental.compilation_cache import compilation_cache

    compilation_cache.reset_cache()
    for name, value in zip(self._SETTINGS, values, strict=True):
      jax.config.update(name, value)


def _time_compile(function: Callable[..., Any], workload: Workload):
  began = time.perf_counter()
  compiled = compile_step(function, workload)
  return compiled, time.perf_counter() - began


def describe_lowering() -> str:
  """Which code computes the operations on the devices in use."""
  if jax.devices()[0].platform == "cpu":
    return lowering.describe()
  return "grouped convolution"


def _machine(batch_size: int) -> dict[str, Any]:
  device = jax.devices()[0]
  return {
    "lowering": describe_lowering(),
    "devices": len(sharding.devices()),
    "device_kind": device.device_kind,
    "batch": batch_size,
  }
