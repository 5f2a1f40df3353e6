"""The evaluation stage: a genotype's network trained from scratch.

Source: DARTS, Sec. 3.2; SPEC 3.1, column "evaluation CIFAR".
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable
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
from jnas.nets import count, derived, inherit
from jnas.ops import Settings, draws
from jnas.pipeline import display, folder, problem, stage
from jnas.pipeline import search as search_stage
from jnas.selection import random as random_selection
from jnas.training import (
  checkpoint,
  keys,
  loop,
  memory,
  metrics,
  optim,
  preemption,
  steps,
)
from jnas.training.keys import Purpose, Stage
from jnas.training.state import TrainState

KEPT_CHECKPOINTS = 2


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
  pending = [
    (name, path, candidate)
    for name, path, candidate in _candidates(found, run_folder, genotype)
    if folder.summary(path) is None
  ]
  if pending:
    dataset = problem.load_data(found)
    run_folder.create()
    if not run_folder.genotype.exists():
      genotypes.save(
        run_folder.genotype,
        genotype,
        provenance=folder.provenance(run_folder, 0),
      )
    with preemption.StopFlag() as stop:
      for name, path, candidate in pending:
        _train(found, dataset, run_folder, path, name, candidate, stop)
  summaries = [
    folder.summary(path)
    for _, path, _ in _candidates(found, run_folder, genotype)
  ]
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


def _candidates(
  found: problem.Problem, run_folder: folder.RunFolder, genotype: Genotype
) -> list[tuple[str, pathlib.Path, Genotype]]:
  """Name, folder and genotype of each network to train."""
  candidates = [("searched", run_folder.evaluate, genotype)]
  key = keys.base(found.config.seed, Stage.EVALUATE)
  for index in range(found.config.evaluate.random_baselines):
    drawn = random_selection.sample(
      keys.key_for(key, Purpose.RANDOM_GENOTYPE, index), found.space
    )
    path = run_folder.evaluate / f"random_{index}"
    candidates.append((f"random {index}", path, drawn))
  return candidates


def make(
  found: problem.Problem, dataset: Dataset, net: derived.DerivedNet
) -> steps.Training:
  """The static parts of the training steps."""
  config = found.config.evaluate
  steps_per_epoch = loader.steps_per_epoch(
    found.info.num_train, config.batch_size
  )
  return steps.Training(
    net=net,
    images=found.images(dataset, cutout=config.cutout),
    params_tx=optim.sgd(config, steps_per_epoch=steps_per_epoch),
    drop_path=config.drop_path,
    auxiliary_weight=config.auxiliary_weight,
    label_smoothing=config.label_smoothing,
    num_epochs=config.epochs,
    steps_per_epoch=steps_per_epoch,
  )


def init_state(
  training: steps.Training,
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
  # --- what is fixed: data, steps, compiled programs
  training = make(found, dataset, problem.derived_net(found, genotype))
  base_key = keys.base(found.config.seed, Stage.EVALUATE, 1)
  state = init_state(training, base_key, dataset.image_shape)
  if config.inherit and path == run_folder.evaluate:
    state = _inherit(found, dataset, run_folder, genotype, state)
  state, batch, batch_sharding = search_stage.place(
    state, dataset.train, config.batch_size
  )
  train_step, evaluate, peak_bytes = compile_programs(
    training, base_key, state, batch, name
  )
  train_data = loader.put(dataset.train, sharding=batch_sharding)
  test_data = loader.put(dataset.test, sharding=batch_sharding)
  file = metrics.MetricsFile(path / "metrics.jsonl")
  title = f"train {found.config.name} {name}"
  total_steps = config.epochs * training.steps_per_epoch

  with contextlib.ExitStack() as stack:
    checkpoints = stack.enter_context(
      checkpoint.Checkpoints(
        path / "checkpoints",
        config_hash=run_folder.hash,
        keep=KEPT_CHECKPOINTS,
      )
    )
    # --- where to begin
    restored = checkpoints.restore(state)
    first_step, meta = 0, {"seconds": 0.0}
    if restored is None:
      file.truncate_after(None)
      file.write(_header(found))
      if path != run_folder.evaluate:
        genotypes.save(
          path / "genotype.json",
          genotype,
          provenance=folder.provenance(run_folder, 0),
        )
    else:
      first_step, state, meta = restored.step, restored.state, restored.meta
      file.truncate_after(first_step)
      display.say(f"{title}: going on from step {first_step} of {total_steps}")
    clock = stage.Clock(meta["seconds"])
    saver = stage.Saver(checkpoints, stop, seconds=config.checkpoint_seconds)
    bar = stack.enter_context(display.progress(title, total_steps))

    def after_step(state: TrainState, step: int, loss: float) -> None:
      bar.update(step, loss)
      # An epoch's last state is saved below, after the epoch's record.
      if step % training.steps_per_epoch:
        saver.after_step(step, state, {"seconds": clock.seconds})

    # --- epochs
    for epoch in range(first_step // training.steps_per_epoch, config.epochs):
      begin = epoch * training.steps_per_epoch
      done = max(first_step - begin, 0)
      epoch_clock = stage.Clock(0.0)
      order = loader.epoch_order(
        keys.key_for(base_key, Purpose.TRAIN_ORDER, epoch),
        len(dataset.train),
        config.batch_size,
      )
      with jax.transfer_guard("disallow"):
        state = loop.run_steps(
          state,
          loader.batches(
            train_data, order, start=done, sharding=batch_sharding
          ),
          advance=train_step,
          after_step=after_step,
          first_step=begin + done,
        )
      seconds = epoch_clock.seconds
      images = config.batch_size * (training.steps_per_epoch - done)
      train = metrics.mean(state.sums)
      test = _measure(
        evaluate, state, test_data, config.batch_size, batch_sharding
      )
      best = np.float32(max(float(state.best), test.accuracy))
      record = {
        "kind": "epoch",
        "epoch": epoch,
        "step": begin + training.steps_per_epoch,
        "train_loss": train.loss,
        "train_accuracy": train.accuracy,
        "test_loss": test.loss,
        "test_accuracy": test.accuracy,
        "lr": float(optim.weights_lr(config, jnp.asarray(epoch))),
        "drop_path": float(_drop_path(config, epoch)),
        "images_per_s": images / seconds,
        "seconds": clock.seconds,
      }
      file.write(record)
      display.say(
        f"{title}: epoch {epoch + 1} of {config.epochs}, "
        f"train {train.accuracy:.1%}, test {test.accuracy:.1%}"
      )
      state = state._replace(
        **jax.device_put(
          {"sums": metrics.zero_sums(), "best": best}, state.step.sharding
        )
      )
      saver.save(record["step"], state, {"seconds": clock.seconds})
      saver.after_step(record["step"], state, {"seconds": clock.seconds})

    # --- what was reached
    last = [record for record in file.read() if record["kind"] == "epoch"][-1]
    height, _, channels = dataset.image_shape
    counted = count.count_derived(
      genotype,
      problem.evaluate_plan(found),
      size=height,
      image_channels=channels,
    )
    file.write(
      {
        "kind": "summary",
        "test_accuracy": last["test_accuracy"],
        "test_loss": last["test_loss"],
        "best_test_accuracy": float(state.best),
        "train_accuracy": last["train_accuracy"],
        **dataclasses.asdict(counted),
        "genotype": genotypes.to_dict(genotype),
        "epochs": config.epochs,
        "steps": total_steps,
        "seed": found.config.seed,
        "inherited": config.inherit and path == run_folder.evaluate,
        "peak_bytes": peak_bytes,
        "rss_bytes": memory.rss_peak_bytes(),
        "seconds": clock.seconds,
      }
    )


def compile_programs(
  training: steps.Training,
  base_key: jax.Array,
  state: TrainState,
  batch: loader.Batch,
  name: str,
) -> tuple[Callable[..., Any], Callable[..., metrics.MetricSums], int]:
  """Compiles training step and test; also gives the largest peak memory."""
  train_step = stage.compile_step(
    f"training step ({name})",
    steps.make_train_step(training, base_key),
    state,
    batch,
    donate_argnums=0,
  )
  mask = jax.device_put(
    jnp.ones(batch["labels"].shape, jnp.float32), batch["labels"].sharding
  )
  evaluate = stage.compile_step(
    f"test ({name})",
    steps.make_train_eval(training),
    state.params,
    state.batch_stats,
    batch,
    mask,
  )
  return train_step, evaluate, stage.peak_bytes(train_step, evaluate)


def _measure(
  evaluate: Callable[..., metrics.MetricSums],
  state: TrainState,
  data: loader.Resident,
  batch_size: int,
  batch_sharding: jax.sharding.NamedSharding,
) -> metrics.Means:
  order = loader.eval_batches(data.labels.shape[0], batch_size)
  sums = None
  for batch, mask in zip(
    loader.batches(data, order.index, sharding=batch_sharding),
    order.mask,
    strict=True,
  ):
    part = evaluate(
      state.params,
      state.batch_stats,
      batch,
      jax.device_put(mask, batch_sharding),
    )
    sums = part if sums is None else metrics.add(sums, part)
  return metrics.mean(sums)


def _drop_path(config: configs.EvaluateConfig, epoch: int) -> jax.Array:
  return schedules.linear(
    jnp.asarray(epoch),
    start=0.0,
    end=config.drop_path,
    num_epochs=config.epochs,
  )


def _header(found: problem.Problem) -> dict[str, Any]:
  return {
    "kind": "header",
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
  search = search_stage.make(found, dataset)
  target = search_stage.init_state(
    search, keys.base(found.config.seed, Stage.SEARCH), dataset.image_shape
  )
  with checkpoint.Checkpoints(
    run_folder.search / "checkpoints",
    config_hash=run_folder.hash,
    keep=KEPT_CHECKPOINTS,
  ) as checkpoints:
    restored = checkpoints.restore(target)
  if restored is None:
    raise FileNotFoundError(
      f"evaluate.inherit: no checkpoint in {run_folder.search}"
    )
  child = derived.build(
    genotype,
    problem.search_plan(found),
    auxiliary=False,
    settings=Settings(affine=False, pool_norm=found.space.pool_norm),
  )
  inherited = inherit.inherit(
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
