"""Step time, compile time and memory of a config's steps on this machine.

No data are needed: the images are random bytes of the config's shape.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jnas import config as configs
from jnas.data.base import Dataset, Split
from jnas.native import lowering
from jnas.pipeline import display, problem, programs, stage
from jnas.pipeline import training as training_stage
from jnas.selection import random as random_selection
from jnas.training import keys, memory, steps, train_steps
from jnas.training.keys import Stage


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
  found = problem.prepare(config)
  problem.search_net(found)
  problem.check_devices(config)
  dataset = random_dataset(found, config.search.batch_size)
  parts = programs.make(found, dataset)
  base_key = keys.base(config.seed, Stage.SEARCH)
  state = programs.init_state(parts, base_key, found.info.image_shape)
  state, train = stage.place(
    state, dataset.train, batch_size=config.search.batch_size
  )
  batch = train.first()
  weight = measure(
    "weight step",
    steps.make_weight_step(parts, base_key),
    state,
    batch,
    repeats,
  )
  arch = measure(
    "architecture step",
    steps.make_arch_step(parts, base_key),
    state,
    (batch, batch),
    repeats,
  )
  return {
    "step_s": weight["step_s"],
    "arch_step_s": arch["step_s"],
    "images_per_s": config.search.batch_size / weight["step_s"],
    "compile_cold_s": weight["compile_cold_s"],
    "compile_warm_s": weight["compile_warm_s"],
    "arch_compile_cold_s": arch["compile_cold_s"],
    "arch_compile_warm_s": arch["compile_warm_s"],
    "peak_bytes": max(weight["peak_bytes"], arch["peak_bytes"]),
    "hlo_instructions": weight["hlo_instructions"],
    **_machine(config.search.batch_size),
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
  found = problem.prepare(config)
  problem.check_evaluate(found)
  problem.check_devices(config)
  batch_size = config.evaluate.batch_size
  dataset = random_dataset(found, batch_size)
  base_key = keys.base(config.seed, Stage.EVALUATE)
  genotype = random_selection.sample(base_key, found.space)
  training = training_stage.make(
    found, dataset, problem.derived_net(found, genotype)
  )
  state = training_stage.init_state(training, base_key, found.info.image_shape)
  state, train = stage.place(state, dataset.train, batch_size=batch_size)
  batch = train.first()
  step = measure(
    "training step",
    train_steps.make_train_step(training, base_key),
    state,
    batch,
    repeats,
  )
  return {
    **step,
    "images_per_s": batch_size / step["step_s"],
    **_machine(batch_size),
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
  what: str,
  function: Callable[..., Any],
  state: Any,
  batch: Any,
  repeats: int,
) -> dict[str, Any]:
  """Compiles a step cold and from the cache, and times it.

  Args:
    what: name of the step, for the display.
    function: `(state, batch) -> state` or `(state, loss)`; donates the state.
    state: left as it is.
    batch: of the step.
    repeats: timed runs.
  """
  with tempfile.TemporaryDirectory() as cache:
    with _compile_cache(cache):
      with display.waiting(f"compiling the {what}, cold"):
        _, cold = _compile(function, state, batch)
      jax.clear_caches()
      with display.waiting(f"compiling the {what}, from the cache"):
        compiled, warm = _compile(function, state, batch)
  donated = jax.tree.map(lambda leaf: leaf.copy(), state)
  seconds = []
  with display.waiting(f"timing the {what}"):
    for _ in range(repeats + 1):
      began = time.perf_counter()
      out = jax.block_until_ready(compiled(donated, batch))
      seconds.append(time.perf_counter() - began)
      donated = out if type(out) is type(state) else out[0]
  return {
    "step_s": statistics.median(seconds[1:]),
    "compile_cold_s": cold,
    "compile_warm_s": warm,
    "peak_bytes": memory.compiled_peak_bytes(compiled),
    "hlo_instructions": memory.instruction_count(compiled),
  }


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


def _compile(function: Callable[..., Any], state: Any, batch: Any):
  began = time.perf_counter()
  compiled = jax.jit(function, donate_argnums=0).lower(state, batch).compile()
  return compiled, time.perf_counter() - began


def _machine(batch_size: int) -> dict[str, Any]:
  device = jax.devices()[0]
  return {
    "rss_bytes": memory.rss_peak_bytes(),
    "lowering": (
      lowering.describe() if device.platform == "cpu" else "grouped convolution"
    ),
    "devices": jax.device_count(),
    "device_kind": device.device_kind,
    "batch": batch_size,
  }
