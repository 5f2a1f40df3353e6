"""The training of one derived network, from scratch or from inherited weights.

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
from jnas.data import loader, placing
from jnas.data.base import Dataset
from jnas.functional import schedules
from jnas.genotype import Genotype
from jnas.ops import draws
from jnas.pipeline import epochs, networks, problem, stage
from jnas.training import (
  keys,
  memory,
  metrics,
  optim,
  preemption,
  segment_steps,
  train_steps,
)
from jnas.training.keys import Purpose, Stage
from jnas.training.state import TrainState


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
    ema_decay=config.ema_decay,
    dtype=config.dtype,
    num_epochs=config.epochs,
    steps_per_epoch=steps_per_epoch,
  )


def init_state(
  training: train_steps.Training | segment_steps.Segmenting,
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


def with_average(
  config: configs.EvaluateConfig, state: TrainState
) -> TrainState:
  """The state with a moving average that starts at it, if one is kept."""
  if not config.ema_decay:
    return state
  return state._replace(average=jax.tree.map(jnp.copy, state.variables))


def run(
  found: problem.Problem,
  dataset: Dataset,
  genotype: Genotype,
  *,
  path: pathlib.Path,
  name: str,
  config_hash: str,
  stop: preemption.StopFlag,
  split: str = "test",
  begin: Callable[[TrainState], TrainState] | None = None,
) -> dict[str, Any]:
  """Trains the network of a genotype, or continues.

  Args:
    found: the problem; its config's `evaluate` says how.
    dataset: images to train on, and to measure on as its test split.
    genotype: of the network.
    path: folder of its checkpoints and metrics.
    name: what the progress line calls it.
    config_hash: that the checkpoints must be of.
    stop: whether to stop.
    split: what the records call the images that are measured on.
    begin: changes the state before the first step, to inherit weights.

  Returns:
    The summary, also the last record of metrics.jsonl.

  Raises:
    stage.Stopped: if asked to stop; the state is saved.
  """
  config = found.config.evaluate
  training = make(found, dataset, networks.derived_net(found, genotype))
  base_key = keys.base(found.config.seed, Stage.EVALUATE, 1)
  state = init_state(training, base_key, dataset.image_shape)
  if begin is not None:
    state = begin(state)
  state = with_average(config, state)
  state, train, test = stage.place(
    state, dataset.train, dataset.test, batch_size=config.batch_size
  )
  train_step, evaluate, peak_bytes = compile_programs(
    training, base_key, state, train.first(), name
  )

  def batches(epoch: int, start: int) -> Iterator[loader.Batch]:
    key = keys.key_for(base_key, Purpose.TRAIN_ORDER, epoch)
    order = loader.epoch_order(key, len(dataset.train), config.batch_size)
    crop_key = keys.key_for(base_key, Purpose.TRAIN_CROP, epoch)
    return train.batches(order, start=start, crop_key=crop_key)

  def finish(
    state: TrainState, epoch: int
  ) -> tuple[TrainState, dict[str, Any]]:
    means = metrics.mean(state.sums)
    measured = stage.measure(functools.partial(evaluate, state.variables), test)
    best = np.float32(max(float(state.best), measured.accuracy))
    fresh = {"sums": metrics.zero_sums(), "best": best}
    record = {
      "train_loss": means.loss,
      "train_accuracy": means.accuracy,
      f"{split}_loss": measured.loss,
      f"{split}_accuracy": measured.accuracy,
      "lr": float(optim.weights_lr(config, jnp.asarray(epoch))),
      "drop_path": float(_drop_path(config, epoch)),
    }
    placed = placing.put(fresh, state.step.sharding)
    return state._replace(**placed), record

  course = epochs.Epochs(
    title=f"train {found.config.name} {name}",
    num_epochs=config.epochs,
    steps_per_epoch=training.steps_per_epoch,
    images_per_step=config.batch_size,
    batches=batches,
    advance=train_step,
    finish=finish,
    line=functools.partial(_line, split=split),
    score=f"{split}_accuracy",
  )
  state, last, seconds = epochs.run(
    course,
    state,
    path=path,
    config_hash=config_hash,
    header=_header(dataset, found.info.note, split),
    stop=stop,
    checkpoint_seconds=config.checkpoint_seconds,
  )
  height, _, channels = dataset.image_shape
  counted = found.family.count_derived(
    genotype,
    networks.evaluate_plan(found),
    height,
    channels,
    networks.derived_settings(found),
  )
  summary = {
    "kind": "summary",
    f"{split}_accuracy": last[f"{split}_accuracy"],
    f"{split}_loss": last[f"{split}_loss"],
    f"best_{split}_accuracy": float(state.best),
    "train_accuracy": last["train_accuracy"],
    **dataclasses.asdict(counted),
    "genotype": genotypes.to_dict(genotype),
    "epochs": config.epochs,
    "steps": course.num_steps,
    "seed": found.config.seed,
    "inherited": begin is not None,
    "peak_bytes": peak_bytes,
    "rss_bytes": memory.rss_peak_bytes(),
    "seconds": seconds,
    "devices": jax.device_count(),
  }
  metrics.MetricsFile(path / "metrics.jsonl").write(summary)
  return summary


def compile_programs(
  training: train_steps.Training,
  base_key: jax.Array,
  state: TrainState,
  batch: loader.Batch,
  name: str,
) -> tuple[Callable[..., Any], Callable[..., metrics.MetricSums], int]:
  """Compiles training step and test; also gives the largest peak memory."""
  base_key = placing.put(base_key, state.step.sharding)
  train_step = stage.compile_step(
    f"training step ({name})",
    train_steps.make_train_step(training),
    base_key,
    state,
    batch,
    donate_argnums=1,
  )
  mask = placing.put(
    jnp.ones(batch["labels"].shape, jnp.float32), batch["labels"].sharding
  )
  evaluate = stage.compile_step(
    f"test ({name})",
    train_steps.make_train_eval(training),
    state.variables,
    batch,
    mask,
  )
  peak_bytes = stage.peak_bytes(train_step, evaluate)
  return functools.partial(train_step, base_key), evaluate, peak_bytes


def _drop_path(config: configs.EvaluateConfig, epoch: int) -> jax.Array:
  return schedules.linear(
    jnp.asarray(epoch),
    start=0.0,
    end=config.drop_path,
    num_epochs=config.epochs,
  )


def _line(record: dict[str, Any], *, split: str) -> str:
  return (
    f"train {record['train_accuracy']:.1%}, "
    f"{split} {record[f'{split}_accuracy']:.1%}"
  )


def _header(dataset: Dataset, note: str, split: str) -> dict[str, Any]:
  return {
    "split_sizes": {"train": len(dataset.train), split: len(dataset.test)},
    "note": note,
  }
