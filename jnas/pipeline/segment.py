"""`jnas segment`: a genotype's network trained to name every pixel's class.

Source: EnTranNAS, Table 5: cells with the head of DeepLabV3 on PASCAL VOC 2012.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnas import config as configs
from jnas.data import masked, segmentation
from jnas.genotype import Genotype
from jnas.nets import deeplab
from jnas.nets import segmenter as segmenters
from jnas.pipeline import (
  display,
  epochs,
  evaluate,
  folder,
  networks,
  problem,
  segmenting,
)
from jnas.training import preemption, sharding

# What the image must be divisible by: it is halved five times.
_DIVISOR = 32
_CUT = (
  "images with masks are scaled and cut by segment.scale_min, scale_max and "
  "crop_size"
)
_COLOURED = "the colours of images with masks stay as they are"
_TRAINED = "`jnas segment` trains without"
# What means nothing here, though it could be thought to: what holds instead,
# and why. The rest of `evaluate` is the recipe of the backbone's own training.
_UNUSED = {
  "data.image_size": (0, _CUT),
  "data.crop_padding": (0, _CUT),
  "data.crop_scale": (0.0, _CUT),
  "data.crop_ratio": (configs.DataConfig().crop_ratio, _CUT),
  "data.jitter": (0.0, _COLOURED),
  "data.hue": (0.0, _COLOURED),
  "data.stream": ("auto", "the kind of source decides on it for masks"),
  "data.max_unreadable": (0, "every image with a mask must be readable"),
  "evaluate.cutout": (0, _TRAINED),
  "evaluate.drop_path": (0.0, _TRAINED),
  "evaluate.auxiliary_weight": (0.0, _TRAINED),
  "evaluate.label_smoothing": (0.0, _TRAINED),
  "evaluate.ema_decay": (0.0, _TRAINED),
  "evaluate.dtype": ("float32", "`jnas segment` computes with no other"),
  "evaluate.inherit": (False, "weights are taken from segment.backbone alone"),
}
# What makes a backbone.
_SAME = ("cells", "channels", "stem", "pool_norm")


@dataclasses.dataclass(frozen=True)
class SegmentResult:
  """What the training gave.

  Attributes:
    summary: the last record of segment/metrics.jsonl.
    class_names: of the classes whose `test_iou` it has.
  """

  summary: dict[str, Any]
  class_names: tuple[str, ...]


def run(
  config: configs.Config,
  workdir: str | pathlib.Path,
  *,
  genotype: Genotype | None = None,
) -> SegmentResult:
  """Trains a genotype's network with a head for pixels, or continues.

  Args:
    config: of the run; `segment`, and `evaluate` for the backbone.
    workdir: the run folder.
    genotype: of the backbone; None for the folder's, or else that of the run
      `segment.backbone`.

  Returns:
    Results on the test split.

  Raises:
    ValueError: for bad input, before anything is compiled or written.
    FileNotFoundError: without a genotype, data or a trained backbone.
    stage.Stopped: if a signal asked to stop; the state is saved.
  """
  run_folder = folder.open_run(config, workdir)
  found = prepare(config)
  trained = _find_backbone(config)
  genotype = _choose(run_folder, trained, genotype)
  net = build(found, genotype)
  sharding.check_batch("segment.batch_size", config.segment.batch_size)
  summary = folder.summary(run_folder.segment)
  if summary is None:
    arrays = _read_backbone(trained, net, found) if trained else None
    with display.waiting("checking the images and masks"):
      dataset = load_data(found)
    run_folder.create()
    with run_folder.locked(), preemption.StopFlag() as stop:
      if folder.find_genotype(run_folder.genotype) is None:
        folder.save_genotype(
          run_folder.genotype,
          genotype,
          provenance=folder.given(run_folder, genotype),
        )
      summary = segmenting.run(
        found,
        dataset,
        genotype,
        net,
        path=run_folder.segment,
        config_hash=run_folder.hash,
        stop=stop,
        backbone=arrays,
      )
  header = folder.header(run_folder.segment)
  return SegmentResult(summary, tuple(header["class_names"]))


def prepare(config: configs.Config) -> problem.Problem:
  """Finds and checks what a config names, without reading an image.

  Returns:
    The problem, whose images are squares of `segment.crop_size`.

  Raises:
    ValueError: for a value without meaning or a name that is unknown.
    FileNotFoundError: for data that are not there.
  """
  configs.check(config)
  _refuse_unused(config)
  settings = config.segment
  for name in ("crop_size", "eval_size"):
    size = getattr(settings, name)
    if size % _DIVISOR:
      below = size // _DIVISOR * _DIVISOR
      nearest = " or ".join(str(n) for n in (below, below + _DIVISOR) if n)
      raise ValueError(
        f"segment.{name} is {size}; it must be a multiple of {_DIVISOR}, since "
        f"the backbone halves the image five times: use {nearest}"
      )
  info = segmentation.describe(config.data.source, _options(config))
  if not 2 <= settings.batch_size <= info.num_train:
    raise ValueError(
      f"segment.batch_size is {settings.batch_size}; it must be 2, since the "
      "head's batch norm sees one value an image, to "
      f"{info.num_train}, the number of training images"
    )
  if info.num_test * settings.eval_size**2 >= 2**31:
    raise ValueError(
      f"{info.num_test} test images of {settings.eval_size} pixels a side are "
      "more pixels than can be counted, 2**31: give a data.test_limit or a "
      "smaller segment.eval_size"
    )
  side = settings.crop_size
  channels = info.image_shape[2]
  return problem.of(
    config, dataclasses.replace(info, image_shape=(side, side, channels))
  )


def _refuse_unused(config: configs.Config) -> None:
  """Refuses what would be ignored, where it was set: it is no default."""
  given = configs.flatten(config)
  defaults = configs.flatten(configs.Config(name=config.name))
  for name, (held, reason) in _UNUSED.items():
    if given[name] not in (held, defaults[name]):
      raise ValueError(
        f"{name} is {given[name]}; it must be {held}, since {reason}"
      )


def build(found: problem.Problem, genotype: Genotype) -> nn.Module:
  """The network of a genotype with its head.

  Raises:
    ValueError: if the genotype does not fit it, or its family has none.
  """
  config = found.config.segment
  networks.derived_net(found, genotype)  # refuses what is no classifier either
  if found.family.segmenter is None:
    raise ValueError(
      f"space is {found.config.space!r}, whose network divides the resolution "
      "by 4 alone; `jnas segment` takes spaces whose networks have an ImageNet "
      "stem, such as darts or mbconv"
    )
  return found.family.segmenter(
    genotype,
    networks.evaluate_plan(found),
    networks.derived_settings(found),
    deeplab.Settings(
      num_classes=found.info.num_classes,
      features=config.features,
      rates=config.rates,
      output_stride=config.output_stride,
      separable=config.separable,
      dropout=config.dropout,
    ),
  )


def load_data(found: problem.Problem) -> masked.MaskedDataset:
  """The images and masks of a config.

  Raises:
    ValueError: if they are not as they must be.
    FileNotFoundError: if they are not there.
  """
  return segmentation.load(
    found.config.data.source, _options(found.config), view(found)
  )


def view(found: problem.Problem) -> masked.View:
  """How images and masks are seen, but for the colour of padding."""
  config = found.config.segment
  return masked.View(
    crop=config.crop_size,
    whole=config.eval_size,
    scale_min=config.scale_min,
    scale_max=config.scale_max,
    flip=found.config.data.flip,
    fill=(),
  )


def _options(config: configs.Config) -> segmentation.Options:
  """What is read of the source; 0 means no limit in a config."""
  return segmentation.Options(
    config.segment.train_list,
    config.data.limit or None,
    config.data.test_limit or None,
  )


def _find_backbone(config: configs.Config) -> folder.RunFolder | None:
  """The run whose network is taken over, which must be trained and alike."""
  if not config.segment.backbone:
    return None
  path = pathlib.Path(config.segment.backbone)
  run = folder.open_made(path)
  if folder.summary(run.evaluate) is None:
    raise FileNotFoundError(
      f"segment.backbone is {str(path)!r}, which has no trained network: run "
      "`jnas evaluate` there to its end first"
    )
  for name in _SAME:
    there = getattr(run.config.evaluate, name)
    here = getattr(config.evaluate, name)
    if there != here:
      raise ValueError(
        f"evaluate.{name} is {here!r}; with segment.backbone {str(path)!r} it "
        f"must be {there!r}, as it was there"
      )
  return run


def _choose(
  run_folder: folder.RunFolder,
  trained: folder.RunFolder | None,
  genotype: Genotype | None,
) -> Genotype:
  """The genotype given, the run's, or the backbone's; one and the same."""
  if genotype is None and trained is not None:
    if folder.find_genotype(run_folder.genotype) is None:
      return folder.load_genotype(trained)
  genotype = evaluate.choose(run_folder, genotype)
  if trained is not None and folder.load_genotype(trained) != genotype:
    raise ValueError(
      f"segment.backbone is {str(trained.path)!r}, a network of another "
      "genotype; give that genotype, or none"
    )
  return genotype


def _read_backbone(
  trained: folder.RunFolder, net: nn.Module, found: problem.Problem
) -> Mapping[str, np.ndarray]:
  """The arrays of the trained network, which must fit."""
  with epochs.open_checkpoints(trained.evaluate, trained.hash) as checkpoints:
    arrays = checkpoints.arrays()
  if arrays is None:
    raise FileNotFoundError(f"no checkpoint in {trained.evaluate}")
  # What was tested there: the moving average of the weights, if there was one.
  average = {
    path.removeprefix("average/"): value
    for path, value in arrays.items()
    if path.startswith("average/")
  }
  weights = average or arrays
  images = jnp.zeros((1, *found.info.image_shape))

  def init() -> Any:
    key = jax.random.key(0)
    return net.init({"params": key, "noise": key}, images, train=False)

  segmenters.overlay(
    jax.eval_shape(init), weights, f"segment.backbone {str(trained.path)!r}"
  )
  return weights
