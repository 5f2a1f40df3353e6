"""What a run will take, before it is run; needs no images.

Where images are streamed and are there, some are read, for the loader's rate.
"""

import dataclasses
from typing import Any

from jnas import config as configs
from jnas.nets import count
from jnas.pipeline import bench, loading, networks, problem, programs, stage
from jnas.pipeline import training as training_stage
from jnas.selection import random as random_selection
from jnas.training import keys, sharding, train_steps
from jnas.training.keys import Stage

# What a rung saves where the config itself does not say how.
_ENGINE, _BOTTLENECK = "first", 4


def run(config: configs.Config, *, rungs: bool = False) -> dict[str, Any]:
  """Plans the search and the evaluation of a config.

  The steps are compiled and run on random images: that is where memory and
  time come from.

  Args:
    config: of the run.
    rungs: whether to plan the search also with the savings of EnTranNAS one
      after the other, from none to all.

  Returns:
    The fields of `jnas plan --json`: sizes of the search at the top level, of
    the evaluation under "evaluate", of the data under "data", of each rung
    under "rungs" if they are asked for; under "loader", where images are
    streamed, whether they come fast enough.

  Raises:
    ValueError: for bad input.
  """
  found = problem.prepare(config)
  networks.search_net(found)
  networks.check_evaluate(found)
  problem.check_devices(config)
  others = [
    (name, problem.prepare(rung))
    for name, rung in (_rungs(config) if rungs else ())
  ]
  for _, other in others:
    networks.search_net(other)
  planned = [
    {"supernet": name, **_plan_search(other)} for name, other in others
  ]
  search, evaluate = _plan_search(found), _plan_evaluate(found)
  streams = found.info.streamed
  return {
    **search,
    **({"rungs": planned} if rungs else {}),
    "evaluate": evaluate,
    **({"loader": loading.plan(found, search, evaluate)} if streams else {}),
    "data": {
      "name": found.info.name,
      "train": found.num_train,
      "valid": found.num_valid,
      "test": found.info.num_test,
      "image_shape": list(found.info.image_shape),
      "classes": found.info.num_classes,
    },
    "devices": len(sharding.devices()),
  }


def _rungs(config: configs.Config) -> list[tuple[str, configs.Config]]:
  """The config without savings, and with one more each time.

  Source: EnTranNAS, Table 3.
  """
  given = config.supernet
  savings: tuple[tuple[str, dict[str, Any]], ...] = (
    ("all cells mix", {}),
    (
      "+ Engine and Transit cells",
      {"engine": _ENGINE if given.engine == "all" else given.engine},
    ),
    ("+ shared features", {"share_features": True}),
    (
      "+ bottleneck",
      {
        "bottleneck": _BOTTLENECK if given.bottleneck == 1 else given.bottleneck
      },
    ),
  )
  supernet = dataclasses.replace(
    given, engine="all", share_features=False, bottleneck=1
  )
  found = []
  for name, saving in savings:
    supernet = dataclasses.replace(supernet, **saving)
    rung = dataclasses.replace(config, supernet=supernet)
    found.append((name, configs.check(rung)))
  return found


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

  def take_step(state: Any) -> Any:
    if compiled.arch_step is not None:
      state = compiled.arch_step(state, (batch, batch))
    return compiled.weight_step(state, batch)[0]

  batches_read = 1 if compiled.arch_step is None else 2
  step_s = bench.time_second(take_step, state)
  num_steps = config.epochs * parts.steps_per_epoch
  height, _, channels = found.info.image_shape
  return {
    "params": params,
    "madds": found.family.count_supernet(
      found.space,
      networks.search_plan(found),
      height,
      channels,
      networks.options(found),
    ).madds,
    "steps": num_steps,
    "peak_bytes": peak_bytes,
    "step_s": step_s,
    "images_per_s": batches_read * config.batch_size / step_s,
    "eta_s": step_s * num_steps,
  }


def _plan_evaluate(found: problem.Problem) -> dict[str, Any]:
  """A random genotype stands for the one that will be found."""
  config = found.config.evaluate
  base_key = keys.base(found.config.seed, Stage.EVALUATE)
  genotype = random_selection.sample(base_key, found.space)
  dataset = bench.random_dataset(found, config.batch_size)
  training = training_stage.make(
    found, dataset, networks.derived_net(found, genotype)
  )
  state = training_stage.init_state(training, base_key, found.info.image_shape)
  state = training_stage.with_average(found.config.evaluate, state)
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
  step_s = bench.time_second(
    lambda state: step(base_key, state, batch)[0], state
  )
  num_steps = config.epochs * training.steps_per_epoch
  height, _, channels = found.info.image_shape
  counted = found.family.count_derived(
    genotype,
    networks.evaluate_plan(found),
    height,
    channels,
    networks.derived_settings(found),
  )
  num_networks = 1 + config.random_baselines
  return {
    "params": counted.params,
    "madds": counted.madds,
    "steps": num_steps,
    "networks": num_networks,
    "peak_bytes": peak_bytes,
    "step_s": step_s,
    "images_per_s": config.batch_size / step_s,
    "eta_s": step_s * num_steps * num_networks,
  }
