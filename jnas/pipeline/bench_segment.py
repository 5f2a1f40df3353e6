"""What naming the class of every pixel takes, before it is trained.

The steps run on noise of the config's shape; of the data only their sizes are
found, as `jnas segment` finds them.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

from jnas import config as configs
from jnas.data import loader, masked
from jnas.genotype import Genotype
from jnas.nets import count
from jnas.nets import segmenter as segmenters
from jnas.pipeline import bench, problem, segment, segmenting, stage, training
from jnas.selection import random as random_selection
from jnas.training import keys, segment_steps, sharding
from jnas.training.keys import Stage
from jnas.training.state import TrainState


class _Parts(NamedTuple):
  """A training on noise, ready to be compiled."""

  found: problem.Problem
  segmenting: segment_steps.Segmenting
  base_key: jax.Array
  state: TrainState
  train: stage.Placed
  test: stage.Placed


def plan(config: configs.Config, genotype: Genotype | None) -> dict[str, Any]:
  """Plans the training of `jnas segment`.

  Args:
    config: of the run.
    genotype: of the backbone; None for a random one.

  Returns:
    The fields of `jnas plan --segment --json`.

  Raises:
    ValueError: for bad input.
    FileNotFoundError: for data that are not there.
  """
  parts = _make(config, genotype)
  settings, found = config.segment, parts.found
  batch, whole = parts.train.first(), parts.test.first()
  train_step, evaluate, peak_bytes = segmenting.compile_steps(
    parts.segmenting, parts.base_key, parts.state, batch, whole
  )
  params = count.count_params(parts.state.params)
  head_params = count.count_params(parts.state.params[segmenters.HEAD])
  mask = segmenting.whole_mask(whole)

  def measure(state: TrainState) -> TrainState:
    jax.block_until_ready(
      evaluate(state.params, state.batch_stats, whole, mask)
    )
    return state

  test_s = bench.time_second(measure, parts.state)
  step_s = bench.time_second(
    lambda state: train_step(state, batch)[0], parts.state
  )
  steps = loader.steps_per_epoch(found.info.num_train, settings.batch_size)
  tests = -(-found.info.num_test // settings.batch_size)
  return {
    "segment": {
      "params": params,
      "head_params": head_params,
      "steps": settings.epochs * steps,
      "peak_bytes": peak_bytes,
      "step_s": step_s,
      "test_step_s": test_s,
      "images_per_s": settings.batch_size / step_s,
      "eta_s": settings.epochs * (steps * step_s + tests * test_s),
      "devices": len(sharding.devices()),
    },
    "data": {
      "name": found.info.name,
      "train": found.info.num_train,
      "test": found.info.num_test,
      "classes": found.info.num_classes,
    },
  }


def run(config: configs.Config, *, repeats: int) -> dict[str, Any]:
  """Measures the training step, of a random genotype's network.

  Args:
    config: of the run.
    repeats: timed runs, after one that is not counted.

  Returns:
    The fields of `jnas bench segment --json`.

  Raises:
    ValueError: for bad input.
    FileNotFoundError: for data that are not there.
  """
  parts = _make(config, None)
  base_key = jax.device_put(parts.base_key, parts.state.step.sharding)
  step = functools.partial(
    segment_steps.make_train_step(parts.segmenting), base_key
  )
  batch_size = config.segment.batch_size
  workload = bench.Workload(
    {"step_s": step}, parts.state, parts.train.first(), batch_size
  )
  return bench.summarize_one(workload, repeats)


def _make(config: configs.Config, genotype: Genotype | None) -> _Parts:
  found = segment.prepare(config)
  sharding.check_batch("segment.batch_size", config.segment.batch_size)
  base_key = keys.base(config.seed, Stage.SEGMENT)
  if genotype is None:
    genotype = random_selection.sample(base_key, found.space)
  net = segment.build(found, genotype)
  dataset = _noise(found)
  made = segmenting.make(found, dataset, net)
  state = training.init_state(made, base_key, found.info.image_shape)
  state, train, test = stage.place(
    state, dataset.train, dataset.test, batch_size=config.segment.batch_size
  )
  return _Parts(found, made, base_key, state, train, test)


def _noise(found: problem.Problem) -> masked.MaskedDataset:
  """Noise in the shape of the config's images and masks."""
  settings, channels = found.config.segment, found.info.image_shape[2]
  view = segment.view(found)._replace(fill=(0,) * channels)
  generator = np.random.default_rng(0)
  side = min(settings.crop_size, settings.eval_size)  # the rest is padded
  image = generator.integers(0, 256, (side, side, channels), dtype=np.uint8)
  mask = generator.integers(
    0, found.info.num_classes, (side, side), dtype=np.uint8
  )

  def split(*, training: bool) -> masked.MaskedSplit:
    return masked.MaskedSplit(
      count=settings.batch_size,
      read=lambda position: (image, mask),
      name=str,
      view=view,
      training=training,
    )

  return masked.MaskedDataset(
    name="noise",
    train=split(training=True),
    test=split(training=False),
    class_names=tuple(map(str, range(found.info.num_classes))),
    mean=(0.5,) * channels,
    std=(0.25,) * channels,
  )
