"""The evaluation stage: a genotype's network trained from scratch.

Source: DARTS, Sec. 3.2; SPEC 3.1, column "evaluation CIFAR".
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jnas import config as configs
from jnas import genotype as genotypes
from jnas.data import loader
from jnas.data.base import Dataset
from jnas.functional import schedules
from jnas.genotype import Genotype
from jnas.ops import draws
from jnas.pipeline import epochs, folder, problem, programs, stage
from jnas.selection import random as random_selection
from jnas.training import (
  keys,
  memory,
  metrics,
  optim,
  preemption,
  train_steps,
)
from jnas.training.keys import Purpose, Stage
from jnas.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class EvaluateResult:
  """What the training of derived networks gave.

  Attributes:
    summary: the last record of evaluate/metrics.jsonl.
    baselines: those of the random genotypes.
  """

  summary: dict[str, Any]
  baselines: tuple[dict[str, Any], ...]


def run(
  config: configs.Config,
  workdir: str | pathlib.Path,
  *,
  genotype: Genotype | None = None,
) -> EvaluateResult:
  """Trains the derived network and the random baselines, or continues.

  Args:
    config: of the run.
    workdir: the run folder.
    genotype: what to train; None for the one that the search found.

  Returns:
    Results on the test split.

  Raises:
    ValueError: for bad input, before anything is compiled or written.
    FileNotFoundError: without a genotype.
    stage.Stopped: if a signal asked to stop; the state is saved.
  """
  run_folder = folder.open_run(config, workdir)
  genotype = _choose(run_folder, genotype)
  found = problem.prepare(config)
  problem.check_evaluate(found)
  problem.derived_net(found, genotype)
  problem.check_devices(config)
  if config.evaluate.inherit and not run_folder.search.exists():
    raise FileNotFoundError(
      f"evaluate.inherit needs the search's weights: no {run_folder.search}"
    )
  paths = _paths(run_folder)
  if any(folder.summary(path) is None for path in paths):
    dataset = problem.load_data(found)
    run_folder.create()
    with run_folder.locked(), preemption.StopFlag() as stop:
      if not run_folder.genotype.exists():
        genotypes.save(
          run_folder.genotype,
          genotype,
          provenance=folder.provenance(run_folder, 0),
        )
      for path, (name, candidate) in zip(
        paths, _candidates(found, genotype), strict=True
      ):
        if folder.summary(path) is None:
          _train(found, dataset, run_folder, path, name, candidate, stop)
  summaries = [folder.summary(path) for path in paths]
  first, *rest = [summary for summary in summaries if summary is not None]
  return EvaluateResult(first, tuple(rest))


def _choose(
  run_folder: folder.RunFolder, genotype: Genotype | None
) -> Genotype:
  """The genotype given, or the run's; they must not contradict each other."""
  if genotype is None:
    return folder.load_genotype(run_folder)
  if run_folder.genotype.exists():
    if genotypes.load(run_folder.genotype) != genotype:
      raise ValueError(
        f"{run_folder.genotype} holds another genotype; use another --workdir"
      )
  return genotype


def _paths(run_folder: folder.RunFolder) -> list[pathlib.Path]:
  """The folder of each network to train, the searched one first."""
  count = run_folder.config.evaluate.random_baselines
  names = [f"random_{index}" for index in range(count)]
  return [run_folder.evaluate, *(run_folder.evaluate / name for name in names)]


def _candidates(
  found: problem.Problem, genotype: Genotype
) -> list[tuple[str, Genotype]]:
  """Name and genotype of each network to train, in the order of `_paths`."""
  key = keys.base(found.config.seed, Stage.EVALUATE)
  drawn = [
    random_selection.sample(
      keys.key_for(key, Purpose.RANDOM_GENOTYPE, index), found.space
    )
    for index in range(found.config.evaluate.random_baselines)
  ]
  return [
    ("searched", genotype),
    *((f"random {index}", cells) for index, cells in enumerate(drawn)),
  ]


def make(
  found: problem.Problem, dataset: Dataset, net: Any
) -> train_steps.Training:
  """The static parts of the training steps."""
  config = found.config.evaluate
  steps_per_epoch = loader.steps_per_epoch(
    found.info.num_train, config.batch_size
  )
  return train_steps.Training(
    net=net,
    images=found.images(dataset, cutout=config.cutout),
    params_tx=optim.weights(config, steps_per_epoch=steps_per_epoch),
    drop_path=config.drop_path,
    auxiliary_weight=config.auxiliary_weight,
    label_smoothing=config.label_smoothing,
    num_epochs=config.epochs,
    steps_per_epoch=steps_per_epoch,
  )


def init_state(
  training: train_steps.Training,
  base_key: jax.Array,
  image_shape: tuple[int, int, int],
) -> TrainState:
  """The state before the first step."""
  images = jnp.zeros((1, *image_shape))

  def init(key: jax.Array) -> Any:
    streams = {"params": key, "noise": key}
    return training.net.init(streams, images, train=False)

  variables = draws.initialize(init, keys.key_for(base_key, Purpose.INIT))
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=variables["params"],
    batch_stats=variables["batch_stats"],
    params_opt=jax.jit(training.params_tx.init)(variables["params"]),
    sums=metrics.zero_sums(),
    best=jnp.zeros((), jnp.float32),
  )


def _train(
  found: problem.Problem,
  dataset: Dataset,
  run_folder: folder.RunFolder,
  path: pathlib.Path,
  name: str,
  genotype: Genotype,
  stop: preemption.StopFlag,
) -> None:
  config = found.config.evaluate
  training = make(found, dataset, problem.derived_net(found, genotype))
  base_key = keys.base(found.config.seed, Stage.EVALUATE, 1)
  state = init_state(training, base_key, dataset.image_shape)
  inherited = config.inherit and path == run_folder.evaluate
  if inherited:
    state = _inherit(found, dataset, run_folder, genotype, state)
  state, train, test = stage.place(
    state, dataset.train, dataset.test, batch_size=config.batch_size
  )
  train_step, evaluate, peak_bytes = compile_programs(
    training, base_key, state, train.first(), name
  )

  def batches(epoch: int, start: int) -> Iterator[loader.Batch]:
    key = keys.key_for(base_key, Purpose.TRAIN_ORDER, epoch)
    order = loader.epoch_order(key, len(dataset.train), config.batch_size)
    return train.batches(order, start=start)

  def finish(
    state: TrainState, epoch: int
  ) -> tuple[TrainState, dict[str, Any]]:
    means = metrics.mean(state.sums)
    measured = stage.measure(
      functools.partial(evaluate, state.params, state.batch_stats), test
    )
    best = np.float32(max(float(state.best), measured.accuracy))
    fresh = {"sums": metrics.zero_sums(), "best": best}
    record = {
      "train_loss": means.loss,
      "train_accuracy": means.accuracy,
      "test_loss": measured.loss,
      "test_accuracy": measured.accuracy,
      "lr": float(optim.weights_lr(config, jnp.asarray(epoch))),
      "drop_path": float(_drop_path(config, epoch)),
    }
    placed = jax.device_put(fresh, state.step.sharding)
    return state._replace(**placed), record

  course = epochs.Epochs(
    title=f"train {found.config.name} {name}",
    num_epochs=config.epochs,
    steps_per_epoch=training.steps_per_epoch,
    images_per_step=config.batch_size,
    batches=batches,
    advance=train_step,
    finish=finish,
    line=_line,
  )
  if path != run_folder.evaluate and not (path / "genotype.json").exists():
    path.mkdir(parents=True, exist_ok=True)
    provenance = folder.provenance(run_folder, 0)
    genotypes.save(path / "genotype.json", genotype, provenance=provenance)
  state, last, seconds = epochs.run(
    course,
    state,
    path=path,
    config_hash=run_folder.hash,
    header=_header(found),
    stop=stop,
    checkpoint_seconds=config.checkpoint_seconds,
  )
  height, _, channels = dataset.image_shape
  counted = found.family.count_derived(
    genotype,
    problem.evaluate_plan(found),
    height,
    channels,
    problem.derived_settings(found),
  )
  summary = {
    "kind": "summary",
    "test_accuracy": last["test_accuracy"],
    "test_loss": last["test_loss"],
    "best_test_accuracy": float(state.best),
    "train_accuracy": last["train_accuracy"],
    **dataclasses.asdict(counted),
    "genotype": genotypes.to_dict(genotype),
    "epochs": config.epochs,
    "steps": course.num_steps,
    "seed": found.config.seed,
    "inherited": inherited,
    "peak_bytes": peak_bytes,
    "rss_bytes": memory.rss_peak_bytes(),
    "seconds": seconds,
  }
  metrics.MetricsFile(path / "metrics.jsonl").write(summary)


def compile_programs(
  training: train_steps.Training,
  base_key: jax.Array,
  state: TrainState,
  batch: loader.Batch,
  name: str,
) -> tuple[Callable[..., Any], Callable[..., metrics.MetricSums], int]:
  """Compiles training step and test; also gives the largest peak memory."""
  train_step = stage.compile_step(
    f"training step ({name})",
    train_steps.make_train_step(training, base_key),
    state,
    batch,
    donate_argnums=0,
  )
  mask = jax.device_put(
    jnp.ones(batch["labels"].shape, jnp.float32), batch["labels"].sharding
  )
  evaluate = stage.compile_step(
    f"test ({name})",
    train_steps.make_train_eval(training),
    state.params,
    state.batch_stats,
    batch,
    mask,
  )
  return train_step, evaluate, stage.peak_bytes(train_step, evaluate)


def _drop_path(config: configs.EvaluateConfig, epoch: int) -> jax.Array:
  return schedules.linear(
    jnp.asarray(epoch),
    start=0.0,
    end=config.drop_path,
    num_epochs=config.epochs,
  )


def _line(record: dict[str, Any]) -> str:
  return (
    f"train {record['train_accuracy']:.1%}, test {record['test_accuracy']:.1%}"
  )


def _header(found: problem.Problem) -> dict[str, Any]:
  return {
    "split_sizes": {
      "train": found.info.num_train,
      "test": found.info.num_test,
    },
    "note": found.info.note,
  }


def _inherit(
  found: problem.Problem,
  dataset: Dataset,
  run_folder: folder.RunFolder,
  genotype: Genotype,
  state: TrainState,
) -> TrainState:
  """Starts from the supernet's weights; scales stay 1 and shifts 0."""
  search = programs.make(found, dataset)
  target = programs.init_state(
    search, keys.base(found.config.seed, Stage.SEARCH), dataset.image_shape
  )
  with epochs.open_checkpoints(
    run_folder.search, run_folder.hash
  ) as checkpoints:
    restored = checkpoints.restore(target)
  if restored is None:
    raise FileNotFoundError(
      f"evaluate.inherit: no checkpoint in {run_folder.search}"
    )
  child: Any = found.family.derived(
    genotype,
    problem.search_plan(found),
    False,
    found.family.child_settings(found.space),
  )
  inherited = found.family.inherit(
    {
      "params": restored.state.params,
      "batch_stats": restored.state.batch_stats,
    },
    search.net,
    child,
  )
  return state._replace(
    params=_overlay(state.params, inherited["params"]),
    batch_stats=_overlay(state.batch_stats, inherited["batch_stats"]),
  )


def _overlay(base: Any, top: Any) -> Any:
  """`base` with the leaves that `top` also has."""
  if not isinstance(base, dict):
    return top
  return {
    key: _overlay(value, top[key]) if key in top else value
    for key, value in base.items()
  }
