"""What a run will take, before it is run; needs no images."""

import time
from typing import Any

import jax

from jnas import config as configs
from jnas.nets import count
from jnas.pipeline import bench, problem, programs, stage
from jnas.pipeline import training as training_stage
from jnas.selection import random as random_selection
from jnas.training import keys, train_steps
from jnas.training.keys import Stage


def run(config: configs.Config) -> dict[str, Any]:
  """Plans the search and the evaluation of a config.

  The steps are compiled and run once on random images: that is where memory
  and time come from.

  Returns:
    The fields of `jnas plan --json`: sizes of the search at the top level, of
    the evaluation under "evaluate", of the data under "data".

  Raises:
    ValueError: for bad input.
  """
  found = problem.prepare(config)
  problem.search_net(found)
  problem.check_evaluate(found)
  problem.check_devices(config)
  return {
    **_plan_search(found),
    "evaluate": _plan_evaluate(found),
    "data": {
      "name": found.info.name,
      "train": found.num_train,
      "valid": found.num_valid,
      "test": found.info.num_test,
      "image_shape": list(found.info.image_shape),
      "classes": found.info.num_classes,
    },
    "devices": jax.device_count(),
  }


def _plan_search(found: problem.Problem) -> dict[str, Any]:
  config = found.config.search
  dataset = bench.random_dataset(found, config.batch_size)
  parts = programs.make(found, dataset)
  base_key = keys.base(found.config.seed, Stage.SEARCH)
  state = programs.init_state(parts, base_key, found.info.image_shape)
  params = count.count_params(state.params)
  state, train = stage.place(state, dataset.train, batch_size=config.batch_size)
  batch = train.first()
  compiled, peak_bytes = programs.compile_programs(
    parts, base_key, state, batch
  )
  began = time.perf_counter()
  if compiled.arch_step is not None:
    state = compiled.arch_step(state, (batch, batch))
  state, loss = compiled.weight_step(state, batch)
  jax.block_until_ready(loss)
  step_s = time.perf_counter() - began
  num_steps = config.epochs * parts.steps_per_epoch
  height, _, channels = found.info.image_shape
  return {
    "params": params,
    "madds": found.family.count_supernet(
      found.space,
      problem.search_plan(found),
      height,
      channels,
      problem.options(found),
    ).madds,
    "steps": num_steps,
    "peak_bytes": peak_bytes,
    "step_s": step_s,
    "eta_s": step_s * num_steps,
  }


def _plan_evaluate(found: problem.Problem) -> dict[str, Any]:
  """A random genotype stands for the one that will be found."""
  config = found.config.evaluate
  base_key = keys.base(found.config.seed, Stage.EVALUATE)
  genotype = random_selection.sample(base_key, found.space)
  dataset = bench.random_dataset(found, config.batch_size)
  training = training_stage.make(
    found, dataset, problem.derived_net(found, genotype)
  )
  state = training_stage.init_state(training, base_key, found.info.image_shape)
  state, train = stage.place(state, dataset.train, batch_size=config.batch_size)
  batch = train.first()
  step = stage.compile_step(
    "training step",
    train_steps.make_train_step(training),
    base_key,
    state,
    batch,
    donate_argnums=1,
  )
  peak_bytes = stage.peak_bytes(step)
  began = time.perf_counter()
  jax.block_until_ready(step(base_key, state, batch))
  step_s = time.perf_counter() - began
  num_steps = config.epochs * training.steps_per_epoch
  height, _, channels = found.info.image_shape
  counted = found.family.count_derived(
    genotype,
    problem.evaluate_plan(found),
    height,
    channels,
    problem.derived_settings(found),
  )
  networks = 1 + config.random_baselines
  return {
    "params": counted.params,
    "madds": counted.madds,
    "steps": num_steps,
    "networks": networks,
    "peak_bytes": peak_bytes,
    "step_s": step_s,
    "eta_s": step_s * num_steps * networks,
  }
