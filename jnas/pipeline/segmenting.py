"""The training of one network that names the class of every pixel.

Source: DeepLabV3 (arXiv:1706.05587), Sec. 4.1; EnTranNAS, Table 5.
"""

import functools
import io
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnas import genotype as genotypes
from jnas.data import loader, masked, placing
from jnas.functional import pixels
from jnas.genotype import Genotype
from jnas.nets import count
from jnas.nets import segmenter as segmenters
from jnas.pipeline import epochs, folder, problem, stage, training
from jnas.training import (
  keys,
  memory,
  metrics,
  optim,
  preemption,
  processes,
  segment_steps,
)
from jnas.training.keys import Purpose, Stage
from jnas.training.state import TrainState

# Images whose masks are kept for the report, beside what was predicted.
_NUM_EXAMPLES = 6


def make(
  found: problem.Problem, dataset: masked.MaskedDataset, net: nn.Module
) -> segment_steps.Segmenting:
  """The static parts of the training steps."""
  config = found.config.segment
  steps = loader.steps_per_epoch(found.info.num_train, config.batch_size)
  return segment_steps.Segmenting(
    net=net,
    mean=dataset.mean,
    std=dataset.std,
    params_tx=optim.segmentation(config, num_steps=config.epochs * steps),
    num_classes=found.info.num_classes,
  )


def run(
  found: problem.Problem,
  dataset: masked.MaskedDataset,
  genotype: Genotype,
  net: nn.Module,
  *,
  path: pathlib.Path,
  config_hash: str,
  stop: preemption.StopFlag,
  backbone: Mapping[str, np.ndarray] | None,
) -> dict[str, Any]:
  """Trains the network, or continues.

  Args:
    found: the problem; its config's `segment` says how.
    dataset: images with masks to train on, and to measure on.
    genotype: of the backbone.
    net: the network.
    path: folder of its checkpoints and metrics.
    config_hash: that the checkpoints must be of.
    stop: whether to stop.
    backbone: a trained network's arrays by path, to begin with; None for
      fresh weights.

  Returns:
    The summary, also the last record of metrics.jsonl.

  Raises:
    stage.Stopped: if asked to stop; the state is saved.
  """
  config = found.config.segment
  segmenting = make(found, dataset, net)
  base_key = keys.base(found.config.seed, Stage.SEGMENT)
  state = training.init_state(segmenting, base_key, found.info.image_shape)
  if backbone is not None:
    state = _inherit(state, backbone, config.backbone)
  state, train, test = stage.place(
    state, dataset.train, dataset.test, batch_size=config.batch_size
  )
  train_step, evaluate, peak_bytes = compile_steps(
    segmenting, base_key, state, train.first(), test.first()
  )
  course = epochs.Epochs(
    title=f"segment {found.config.name}",
    num_epochs=config.epochs,
    steps_per_epoch=loader.steps_per_epoch(
      found.info.num_train, config.batch_size
    ),
    images_per_step=config.batch_size,
    batches=functools.partial(_batches, base_key, train),
    advance=train_step,
    finish=functools.partial(_finish, found, evaluate, test),
    line=_line,
  )
  state, last, seconds = epochs.run(
    course,
    state,
    path=path,
    config_hash=config_hash,
    header={
      "split_sizes": {"train": len(dataset.train), "test": len(dataset.test)},
      "class_names": dataset.class_names,
    },
    stop=stop,
    checkpoint_seconds=config.checkpoint_seconds,
  )
  _save_examples(segmenting, state, test, dataset.test, path)
  measured = {k: v for k, v in last.items() if k.startswith("test_")}
  summary = {
    "kind": "summary",
    **measured,
    "best_test_miou": float(state.best),
    "train_pixel_accuracy": last["train_pixel_accuracy"],
    "params": count.count_params(state.params),
    "head_params": count.count_params(state.params[segmenters.HEAD]),
    "genotype": genotypes.to_dict(genotype),
    "epochs": config.epochs,
    "steps": course.num_steps,
    "seed": found.config.seed,
    "inherited": backbone is not None,
    "peak_bytes": peak_bytes,
    "rss_bytes": memory.rss_peak_bytes(),
    "seconds": seconds,
    "devices": jax.device_count(),
  }
  metrics.MetricsFile(path / "metrics.jsonl").write(summary)
  return summary


def _inherit(
  state: TrainState, backbone: Mapping[str, np.ndarray], where: str
) -> TrainState:
  """The state with a trained backbone; the head's weights are fresh."""
  variables = segmenters.overlay(
    {"params": state.params, "batch_stats": state.batch_stats}, backbone, where
  )
  return state._replace(**jax.tree.map(jnp.asarray, variables))


def compile_steps(
  segmenting: segment_steps.Segmenting,
  base_key: jax.Array,
  state: TrainState,
  batch: loader.Batch,
  whole: loader.Batch,
) -> tuple[Callable[..., Any], Callable[..., segment_steps.PixelSums], int]:
  """Compiles training step and test; also gives the largest peak memory."""
  base_key = placing.put(base_key, state.step.sharding)
  train_step = stage.compile_step(
    "training step",
    segment_steps.make_train_step(segmenting),
    base_key,
    state,
    batch,
    donate_argnums=1,
  )
  evaluate = stage.compile_step(
    "test",
    segment_steps.make_eval(segmenting),
    state.params,
    state.batch_stats,
    whole,
    whole_mask(whole),
    # Sums of all devices, on each of them.
    out_shardings=state.step.sharding,
  )
  peak_bytes = stage.peak_bytes(train_step, evaluate)
  return functools.partial(train_step, base_key), evaluate, peak_bytes


def whole_mask(batch: loader.Batch) -> jax.Array:
  """The mask of a batch that counts whole, `[B]`, shared out like it."""
  labels = batch["labels"]
  return placing.put(np.ones(len(labels), np.float32), labels.sharding)


def _batches(
  base_key: jax.Array, train: stage.Placed, epoch: int, start: int
) -> Iterator[loader.Batch]:
  """The batches of an epoch, each image scaled and cut out anew."""
  order = loader.epoch_order(
    keys.key_for(base_key, Purpose.TRAIN_ORDER, epoch),
    train.num_images,
    train.batch_size,
  )
  crop_key = keys.key_for(base_key, Purpose.TRAIN_CROP, epoch)
  return train.batches(order, start=start, crop_key=crop_key)


def _finish(
  found: problem.Problem,
  evaluate: Callable[..., segment_steps.PixelSums],
  test: stage.Placed,
  state: TrainState,
  epoch: int,
) -> tuple[TrainState, dict[str, Any]]:
  """The record of an epoch, and the state that the next one begins with."""
  config = found.config.segment
  means = metrics.mean(state.sums)
  sums = stage.add_up(
    functools.partial(evaluate, state.params, state.batch_stats), test
  )
  confusion, loss = jax.device_get(sums)
  num_pixels = max(int(confusion.sum()), 1)
  miou = float(pixels.mean_iou(confusion))
  steps = loader.steps_per_epoch(found.info.num_train, config.batch_size)
  lr = optim.segmentation_lr(
    config, epoch * steps, num_steps=config.epochs * steps
  )
  record = {
    "train_loss": means.loss,
    "train_pixel_accuracy": means.accuracy,
    "test_loss": float(loss) / num_pixels,
    "test_miou": miou,
    "test_pixel_accuracy": float(pixels.pixel_accuracy(confusion)),
    "test_iou": np.asarray(pixels.intersection_over_union(confusion)),
    "lr": float(lr),
  }
  fresh = {
    "sums": metrics.zero_sums(),
    "best": np.float32(max(float(state.best), miou)),
  }
  placed = placing.put(fresh, state.step.sharding)
  return state._replace(**placed), record


def _line(record: Mapping[str, Any]) -> str:
  return (
    f"train pixels {record['train_pixel_accuracy']:.1%}, test mIoU "
    f"{record['test_miou']:.1%}, pixels {record['test_pixel_accuracy']:.1%}"
  )


def _save_examples(
  segmenting: segment_steps.Segmenting,
  state: TrainState,
  test: stage.Placed,
  split: masked.MaskedSplit,
  path: pathlib.Path,
) -> None:
  """Writes a few test images, their masks, and what the network says.

  `examples.npz`: `images` `[E, H, W, C]`, `labels` and `predicted` `[E, H, W]`,
  uint8, of images spread over the test split.

  Raises:
    OSError: in the first process, if it cannot be written, in one line.
    processes.FirstFailedError: then, in the others.
  """
  number = min(_NUM_EXAMPLES, len(split), test.batch_size)
  chosen = np.linspace(0, len(split) - 1, number).round().astype(np.int32)
  order = np.resize(chosen, (1, test.batch_size))
  predict = segment_steps.make_predict(segmenting)

  def classes(params: Any, batch_stats: Any, images: jax.Array) -> jax.Array:
    logits = predict(params, batch_stats, images)
    return jnp.argmax(logits, axis=-1).astype(jnp.uint8)

  images = next(test.batches(order))["images"]
  arguments = state.params, state.batch_stats, images
  compiled = stage.compile_step(
    "examples",
    classes,
    *arguments,
    out_shardings=state.step.sharding,
  )
  predicted = jax.device_get(compiled(*arguments))[:number]

  def write() -> None:
    pairs = [split.example(int(position), None) for position in chosen]
    content = io.BytesIO()
    np.savez_compressed(
      content,
      images=np.stack([image for image, _ in pairs]),
      labels=np.stack([mask for _, mask in pairs]),
      predicted=predicted,
    )
    folder.write_bytes(path / "examples.npz", content.getvalue())

  processes.from_first(write)
