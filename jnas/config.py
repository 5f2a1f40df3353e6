"""Typed settings of a run: fields, loading, checks, hash.

A config file is Python with a function `get_config() -> Config`. Every field
can be overridden on the command line by its dotted name.
"""

import dataclasses
import hashlib
import importlib.util
import json
import math
import pathlib
import re
import types
from typing import Any, Literal

from jnas import mistakes

# Whether settings follow the papers or their authors' code (SPEC 6).
PRESETS = ("paper", "authors")
Scalar = int | float | bool | str


@dataclasses.dataclass(frozen=True)
class MethodConfig:
  """The search method.

  Attributes:
    name: in the table of methods, or a dotted path "package.module:NAME".
    settings: the method's own settings, by name.
    selector: how the genotype is read off; "default" is the method's own.
  """

  name: str = "darts"
  settings: dict[str, Scalar] = dataclasses.field(default_factory=dict)
  selector: str = "default"


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """The images.

  Attributes:
    source: fashion_mnist_mini, npz:PATH, folder:PATH, cifar10, cifar100, svhn,
      imagenet2012, tfds:NAME, or a dotted path "package.module:load"; with
      masks, for `jnas segment`, voc:PATH, npz:PATH or tfds:NAME.
    limit: training images to use, a class-balanced head; 0 for all.
    test_limit: test images to use; 0 for all.
    image_size: height and width to bring images to; 0 to leave them.
    valid_fraction: share of the training images that fits the architecture.
    crop_padding: pixels of padding before a random crop; 0 for no crop.
    flip: whether images are flipped left to right at random.
    stream: whether images are decoded anew in every epoch instead of kept on
      the device: "on", "off", or "auto" with crop_scale and for what takes
      more than 4 GiB.
    crop_scale: smallest share of an image's area that a random resized crop
      takes, in streamed images; 0 for no such crop.
    crop_ratio: largest ratio of the sides of such a crop, either way.
    eval_crop: share of the shorter side that is seen when measuring, with
      crop_scale; 0.875 is the centre 224 of 256 pixels.
    jitter: largest change of brightness, contrast and saturation; 0 for none.
    hue: largest turn of the hue, as a share of the circle; 0 for none.
    max_unreadable: streamed images that may be skipped as unreadable.
  """

  source: str = "fashion_mnist_mini"
  limit: int = 0
  test_limit: int = 0
  image_size: int = 0
  valid_fraction: float = 0.5
  crop_padding: int = 4
  flip: bool = True
  stream: Literal["auto", "on", "off"] = "auto"
  crop_scale: float = 0.0
  crop_ratio: float = 4 / 3
  eval_crop: float = 1.0
  jitter: float = 0.0
  hue: float = 0.0
  max_unreadable: int = 10


@dataclasses.dataclass(frozen=True)
class SearchConfig:
  """The search for a genotype.

  Attributes:
    cells: cells of the supernet.
    channels: C of its first cell.
    stem: "cifar" keeps the resolution, "imagenet" divides it by 8.
    epochs: passes over the half of the images that fits the weights.
    batch_size: images a step, over all devices.
    scheme: how weights and architecture are updated: "bilevel" (each on a
      split of its own), "second_order" (through a virtual step of the
      weights), "single_level" (both on the training images), "frozen" (the
      architecture stays as it is); "default" is the method's own.
    hessian: how the second order is computed, "exact" or by the paper's
      "finite_difference".
    optimizer: of the weights, "sgd" or "adam".
    lr: learning rate of the weights in the first epoch.
    lr_min: learning rate that a cosine or linear schedule ends at.
    schedule: of the learning rate, "cosine", "linear" or "exponential".
    lr_decay: factor an epoch of the exponential schedule.
    lr_first_epoch: epoch of the schedule that epoch 0 runs at; 1 as in codes
      that step the schedule before they train.
    lr_warmup: epochs in which the learning rate rises to the schedule's: to
      1/n of it in the first of n, to 2/n in the second; 0 for none.
    lr_batch: batch size that lr and lr_min are for; with another batch_size
      they are scaled in proportion; 0 to take them as they are.
    momentum: of the weights' SGD.
    weight_decay: of the weights, added to their gradient.
    clip_norm: largest global norm of the weights' gradient.
    drop_path: probability of dropping a mixed edge for an image.
    drop_skip: probability of dropping an element of a skip connection's
      output in the first epoch; it falls linearly.
    drop_skip_share: share of drop_skip that it falls to; 1 for a constant.
    arch_warmup: epochs before the architecture moves.
    arch_lr: learning rate of the architecture's Adam.
    arch_lr_share: share of arch_lr that a cosine ends at; 1 for a constant.
    arch_clip_norm: largest global norm of the architecture's gradient; 0 for
      no limit.
    arch_beta1: decay of Adam's first moment.
    arch_beta2: decay of Adam's second moment.
    arch_weight_decay: of the architecture, added to its gradient.
    arch_moves_statistics: whether batches of the architecture also move the
      running batch statistics, as in the authors' code (SPEC 6, D1).
    valid_every: epochs between two validations of supernet and child.
    checkpoint_seconds: time between two checkpoints within an epoch.
  """

  cells: int = 8
  channels: int = 16
  stem: Literal["cifar", "imagenet"] = "cifar"
  epochs: int = 50
  batch_size: int = 64
  scheme: Literal[
    "default", "bilevel", "second_order", "single_level", "frozen"
  ] = "default"
  hessian: Literal["exact", "finite_difference"] = "exact"
  optimizer: Literal["sgd", "adam"] = "sgd"
  lr: float = 0.025
  lr_min: float = 0.0
  schedule: Literal["cosine", "linear", "exponential"] = "cosine"
  lr_decay: float = 0.97
  lr_first_epoch: int = 0
  lr_warmup: int = 0
  lr_batch: int = 0
  momentum: float = 0.9
  weight_decay: float = 3e-4
  clip_norm: float = 5.0
  drop_path: float = 0.0
  drop_skip: float = 0.0
  drop_skip_share: float = 0.0
  arch_warmup: int = 0
  arch_lr: float = 3e-4
  arch_lr_share: float = 1.0
  arch_clip_norm: float = 0.0
  arch_beta1: float = 0.5
  arch_beta2: float = 0.999
  arch_weight_decay: float = 1e-3
  arch_moves_statistics: bool = False
  valid_every: int = 1
  checkpoint_seconds: float = 60.0


@dataclasses.dataclass(frozen=True)
class SelectionConfig:
  """How the genotype is read off the trained supernet.

  Attributes:
    name: "none" (the search's own derivation), "perturbation" (PT: decide the
      edges one by one by what the supernet loses, and tune it in between),
      "magnitude" (the same with the mixing weights instead of the loss), or
      "sampled" (the best of random cells by the accuracy of the supernet).
    criterion: what a trial is judged by, "acc" or "loss".
    topology: how a node's edges are chosen, "one_shot" (each left out alone)
      or "iterative" (the least useful one removed, then the next).
    batch_statistics: whether batch norms in trials use the statistics of the
      batch instead of the running ones; none are moved.
    none_candidate: whether "none" may be chosen where an edge has it.
    none_edge: what becomes of an edge that was given "none", "removed" or, as
      in the authors' code, its "first_other" operation (SPEC 6, D14); a cell
      that keeps every edge has "none" as an operation, and no choice here.
    tune_epochs: epochs of tuning after each decision; 0 for no tuning.
    lr_share: learning rate of the tuning, as a share of search.lr.
    lr_end_share: share of that which a cosine ends at; 1 for a constant.
    train_arch: whether the architecture of open edges keeps moving.
    num_samples: random cells to compare, for "sampled".
    batch_size: images in a batch of a trial, over all devices; all images
      where there are fewer.
    trials_per_call: candidates that are scored together, batch by batch; what
      the supernet computes before the first cell that they change, once.
    checkpoint_seconds: time between two checkpoints within an epoch or trial.
  """

  name: Literal["none", "perturbation", "magnitude", "sampled"] = "none"
  criterion: Literal["acc", "loss"] = "acc"
  topology: Literal["one_shot", "iterative"] = "one_shot"
  batch_statistics: bool = True
  none_candidate: bool = True
  none_edge: Literal["removed", "first_other"] = "removed"
  tune_epochs: int = 5
  lr_share: float = 0.1
  lr_end_share: float = 0.4
  train_arch: bool = True
  num_samples: int = 1000
  batch_size: int = 64
  trials_per_call: int = 8
  checkpoint_seconds: float = 60.0


@dataclasses.dataclass(frozen=True)
class SupernetConfig:
  """What the supernet computes besides mixing every operation.

  Attributes:
    engine: cells that mix all operations; the others are Transit-cells, which
      compute the derived cell alone: "all", the "first" or "last" of each cell
      type, or the first "half".
    transit: how Transit-cells skip what they do not use: "switch" within one
      compiled program, "mask" by zero weights (slow, the reference), or
      "recompile" for each new derived cell.
    share_features: whether an operation on a node has one set of weights for
      all edges that leave the node.
    bottleneck: ratio by which channels shrink before the operations; 1 for no
      bottleneck.
    partial_channels: 1/k of the channels pass through the operations, the
      others around them; 1 for all.
    remat: what is computed again for the gradient instead of stored: "none",
      each "cell" or each "op".
    dtype: of activations; weights and statistics are float32.
  """

  engine: Literal["all", "first", "last", "half"] = "all"
  transit: Literal["switch", "mask", "recompile"] = "switch"
  share_features: bool = False
  bottleneck: int = 1
  partial_channels: int = 1
  remat: Literal["none", "cell", "op"] = "none"
  dtype: Literal["float32", "bfloat16"] = "float32"


@dataclasses.dataclass(frozen=True)
class ProgressiveConfig:
  """A search in stages, each deeper and with fewer operations.

  Every stage is a search of its own with `search`'s settings; the weakest
  operations of each edge are left out of the next one's space.

  Attributes:
    cells: cells of the supernet in each stage; none for a search in one stage.
    ops: operations that each edge has in each stage; the first is the space's.
    drop_skip: `search.drop_skip` of each stage.
    max_skips: skip connections that the derived normal cell keeps at most; -1
      for any number.
  """

  cells: tuple[int, ...] = ()
  ops: tuple[int, ...] = ()
  drop_skip: tuple[float, ...] = ()
  max_skips: int = -1


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
  """The training of the derived network.

  Attributes:
    cells: cells of the network.
    channels: C of its first cell.
    stem: "cifar" keeps the resolution, "imagenet" divides it by 8.
    epochs: passes over all training images.
    batch_size: images a step, over all devices.
    optimizer: "sgd" or "adam".
    lr: learning rate in the first epoch.
    lr_min: learning rate that a cosine or linear schedule ends at.
    schedule: of the learning rate, "cosine", "linear" or "exponential".
    lr_decay: factor an epoch of the exponential schedule.
    lr_first_epoch: epoch of the schedule that epoch 0 runs at; 1 as in codes
      that step the schedule before they train.
    lr_warmup: epochs in which the learning rate rises to the schedule's: to
      1/n of it in the first of n, to 2/n in the second; 0 for none.
    lr_batch: batch size that lr and lr_min are for; with another batch_size
      they are scaled in proportion; 0 to take them as they are.
    momentum: of SGD.
    weight_decay: added to the gradient.
    clip_norm: largest global norm of the gradient.
    cutout: side of the square that is blanked in each image; 0 for none.
    drop_path: probability of dropping an edge in the last epoch; it grows
      linearly from 0.
    pool_norm: whether an affine batch norm follows pools, as in the authors'
      network of SNAS (SPEC 6, D6).
    auxiliary_weight: weight of the auxiliary head's loss; 0 for no head.
    label_smoothing: share of the target spread over all classes.
    ema_decay: of an exponential moving average of the weights, which is what
      is then tested and exported; 0 for none.
    dtype: of activations; weights, statistics and logits are float32.
    random_baselines: random genotypes trained alike, for comparison.
    inherit: whether to start from the weights of the supernet, the tuned one
      after a selection; needs the same cells, channels and stem as the search.
      Only with `pool_norm` is it the supernet's child, whose pools have norms.
    checkpoint_seconds: time between two checkpoints within an epoch.
  """

  cells: int = 20
  channels: int = 36
  stem: Literal["cifar", "imagenet"] = "cifar"
  epochs: int = 600
  batch_size: int = 96
  optimizer: Literal["sgd", "adam"] = "sgd"
  lr: float = 0.025
  lr_min: float = 0.0
  schedule: Literal["cosine", "linear", "exponential"] = "cosine"
  lr_decay: float = 0.97
  lr_first_epoch: int = 0
  lr_warmup: int = 0
  lr_batch: int = 0
  momentum: float = 0.9
  weight_decay: float = 3e-4
  clip_norm: float = 5.0
  cutout: int = 16
  drop_path: float = 0.2
  pool_norm: bool = False
  auxiliary_weight: float = 0.4
  label_smoothing: float = 0.0
  ema_decay: float = 0.0
  dtype: Literal["float32", "bfloat16"] = "float32"
  random_baselines: int = 1
  inherit: bool = False
  checkpoint_seconds: float = 60.0


@dataclasses.dataclass(frozen=True)
class SegmentConfig:
  """The training of a derived network that names the class of every pixel.

  The backbone is the network of `evaluate`: its cells, channels, stem and
  pool_norm; `data` names images with masks, and says whether they are flipped.

  Attributes:
    backbone: run folder whose trained network the backbone's weights are
      from; "" for fresh ones.
    train_list: of voc:PATH, the list of training images, such as "trainaug".
    output_stride: pixels of the image to one of the features, 16 or 8.
    rates: of the head's 3x3 convolutions at output stride 16; doubled at 8.
    features: channels of each of the head's branches.
    separable: whether the head's 3x3 convolutions are separable.
    dropout: share of the head's last features that is dropped in training.
    crop_size: pixels a side of what training sees of an image.
    eval_size: pixels a side that whole images are padded to when measuring.
    scale_min: the smallest factor of an image's size in training.
    scale_max: the largest.
    epochs: passes over all training images.
    batch_size: images a step, over all devices.
    lr: learning rate in the first step.
    lr_power: of the share of steps that are left, which lr is multiplied by.
    momentum: of SGD.
    weight_decay: added to the gradient.
    checkpoint_seconds: time between two checkpoints within an epoch.
  """

  backbone: str = ""
  train_list: str = "train"
  output_stride: Literal[16, 8] = 16
  rates: tuple[int, ...] = (6, 12, 18)
  features: int = 256
  separable: bool = False
  dropout: float = 0.1
  crop_size: int = 512
  eval_size: int = 512
  scale_min: float = 0.5
  scale_max: float = 2.0
  epochs: int = 46
  batch_size: int = 16
  lr: float = 0.007
  lr_power: float = 0.9
  momentum: float = 0.9
  weight_decay: float = 4e-5
  checkpoint_seconds: float = 60.0


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
  """Where what was found is looked up; changes nothing that is found.

  Attributes:
    table: the user's table of NAS-Bench-201, a path; "" for none.
  """

  table: str = ""


@dataclasses.dataclass(frozen=True)
class Config:
  """A whole run.

  Attributes:
    name: of the experiment; also of the run folder unless one is given.
    seed: of everything that is drawn.
    preset: "paper", or "authors" for the settings of the authors' code where
      it differs.
    space: name of the search space, or a dotted path "package.module:NAME".
    method: the search method.
    data: the images.
    supernet: what the supernet computes.
    search: the search.
    progressive: the search in stages.
    selection: what reads the genotype off the trained supernet.
    evaluate: the training of the derived network.
    segment: its training for the class of every pixel.
    benchmark: where what was found is looked up; no part of the run's identity.
  """

  name: str
  seed: int = 0
  preset: Literal["paper", "authors"] = "paper"
  space: str = "darts"
  method: MethodConfig = dataclasses.field(default_factory=MethodConfig)
  data: DataConfig = dataclasses.field(default_factory=DataConfig)
  supernet: SupernetConfig = dataclasses.field(default_factory=SupernetConfig)
  search: SearchConfig = dataclasses.field(default_factory=SearchConfig)
  progressive: ProgressiveConfig = dataclasses.field(
    default_factory=ProgressiveConfig
  )
  selection: SelectionConfig = dataclasses.field(
    default_factory=SelectionConfig
  )
  evaluate: EvaluateConfig = dataclasses.field(default_factory=EvaluateConfig)
  segment: SegmentConfig = dataclasses.field(default_factory=SegmentConfig)
  benchmark: BenchmarkConfig = dataclasses.field(
    default_factory=BenchmarkConfig
  )


_SECTIONS = {
  "method": MethodConfig,
  "data": DataConfig,
  "supernet": SupernetConfig,
  "search": SearchConfig,
  "progressive": ProgressiveConfig,
  "selection": SelectionConfig,
  "evaluate": EvaluateConfig,
  "segment": SegmentConfig,
  "benchmark": BenchmarkConfig,
}
_RECORDS = (Config, *_SECTIONS.values())

# Smallest and largest value of each numeric field; `>` excludes the bound.
_AT_LEAST_1 = (
  "epochs",
  "batch_size",
  "valid_every",
  "channels",
  "cells",
  "bottleneck",
  "partial_channels",
  "num_samples",
  "trials_per_call",
  "features",
  "crop_size",
  "eval_size",
)
_AT_LEAST_0 = (
  "seed",
  "limit",
  "test_limit",
  "image_size",
  "crop_padding",
  "cutout",
  "random_baselines",
  "lr_min",
  "weight_decay",
  "arch_weight_decay",
  "arch_lr",
  "arch_clip_norm",
  "arch_warmup",
  "lr_first_epoch",
  "lr_warmup",
  "lr_batch",
  "auxiliary_weight",
  "tune_epochs",
  "max_unreadable",
)
_ABOVE_0 = (
  "lr",
  "lr_decay",
  "lr_share",
  "lr_power",
  "clip_norm",
  "checkpoint_seconds",
  "scale_min",
)
_BELOW_1 = (
  "momentum",
  "arch_beta1",
  "arch_beta2",
  "drop_path",
  "drop_skip",
  "dropout",
  "label_smoothing",
  "ema_decay",
)


def check(config: Config) -> Config:
  """Refuses values without meaning, before anything is loaded or compiled.

  Returns:
    The config itself.

  Raises:
    ValueError: naming the field, the value found and the values allowed.
  """
  mistakes.check_types(config)
  for name, value in flatten(config).items():
    field = name.rpartition(".")[2]
    if isinstance(value, float) and not math.isfinite(value):
      raise ValueError(f"{name} is {value}; it must be a finite number")
    if name.startswith(("method.settings", "progressive")):
      continue
    if field in _AT_LEAST_1 and value < 1:
      raise ValueError(f"{name} is {value}; it must be at least 1")
    if field in _AT_LEAST_0 and value < 0:
      raise ValueError(f"{name} is {value}; it must be 0 or more")
    if field in _ABOVE_0 and value <= 0:
      raise ValueError(f"{name} is {value}; it must be above 0")
    if field in _BELOW_1 and not 0 <= value < 1:
      raise ValueError(f"{name} is {value}; it must be in 0 <= x < 1")
  _check_progressive(config)
  for name, part in (("search", config.search), ("evaluate", config.evaluate)):
    if part.lr_warmup > part.epochs:
      raise ValueError(
        f"{name}.lr_warmup is {part.lr_warmup}; it must be 0 to {part.epochs}, "
        f"{name}.epochs"
      )
  for name, share in (
    ("search.arch_lr_share", config.search.arch_lr_share),
    ("search.drop_skip_share", config.search.drop_skip_share),
    ("selection.lr_end_share", config.selection.lr_end_share),
  ):
    if not 0 <= share <= 1:
      raise ValueError(f"{name} is {share}; it must be in 0 <= x <= 1")
  _check_crop(config.data)
  _check_segment(config.segment)
  if not 0 < config.data.valid_fraction < 1:
    raise ValueError(
      f"data.valid_fraction is {config.data.valid_fraction}; "
      "it must be in 0 < x < 1"
    )
  if not re.fullmatch(r"[^/\\\x00-\x1f]{1,200}", config.name):
    raise ValueError(
      f"name is {config.name!r}; it must be a file name of 1 to 200 characters "
      "without slashes"
    )
  if config.seed >= 2**32:
    raise ValueError(f"seed is {config.seed}; it must be below 2**32")
  return config


def _check_crop(data: DataConfig) -> None:
  """Refuses what images cannot be cut or coloured by."""
  for name, value, least, most in (
    ("crop_scale", data.crop_scale, 0, 1),
    ("crop_ratio", data.crop_ratio, 1, 10),
    ("jitter", data.jitter, 0, 1),
    ("hue", data.hue, 0, 0.5),
  ):
    if not least <= value <= most:
      raise ValueError(
        f"data.{name} is {value}; it must be in {least} <= x <= {most}"
      )
  if not 0 < data.eval_crop <= 1:
    raise ValueError(
      f"data.eval_crop is {data.eval_crop}; it must be in 0 < x <= 1"
    )
  if not data.crop_scale:
    if data.eval_crop < 1:
      raise ValueError(
        f"data.eval_crop is {data.eval_crop}; without data.crop_scale it must "
        "be 1, since training sees the whole centre too"
      )
    return
  if data.stream == "off":
    raise ValueError(
      f"data.crop_scale is {data.crop_scale}, which cuts images as they are "
      "stored; data.stream must be 'auto' or 'on', found 'off'"
    )
  if data.crop_padding:
    raise ValueError(
      f"data.crop_padding is {data.crop_padding}; with data.crop_scale it must "
      "be 0: one random crop is enough"
    )


def _check_segment(segment: SegmentConfig) -> None:
  """Refuses a head or scales without meaning."""
  if not segment.rates or min(segment.rates) < 1:
    raise ValueError(
      f"segment.rates is {segment.rates}; it must have one rate or more, each "
      "at least 1"
    )
  if segment.scale_max < segment.scale_min:
    raise ValueError(
      f"segment.scale_max is {segment.scale_max}; it must be at least "
      f"segment.scale_min, {segment.scale_min}"
    )


def _check_progressive(config: Config) -> None:
  """Refuses stages that do not fit together."""
  stages = config.progressive
  num_stages = len(stages.cells)
  for name in ("ops", "drop_skip"):
    values = getattr(stages, name)
    if len(values) != num_stages:
      raise ValueError(
        f"progressive.{name} has {len(values)} values; progressive.cells has "
        f"{num_stages}, one for each stage"
      )
  if any(cells < 1 for cells in stages.cells):
    raise ValueError(
      f"progressive.cells is {stages.cells}; each must be at least 1"
    )
  if any(not 0 <= rate < 1 for rate in stages.drop_skip):
    raise ValueError(
      f"progressive.drop_skip is {stages.drop_skip}; each must be in 0 <= x < 1"
    )
  if any(ops < 1 for ops in stages.ops) or list(stages.ops) != sorted(
    stages.ops, reverse=True
  ):
    raise ValueError(
      f"progressive.ops is {stages.ops}; each must be at least 1 and none may "
      "be above the one before"
    )
  if stages.max_skips < -1:
    raise ValueError(
      f"progressive.max_skips is {stages.max_skips}; it must be -1 or more"
    )
  if num_stages and config.evaluate.inherit:
    raise ValueError(
      "evaluate.inherit takes the weights of one supernet; a progressive "
      "search has one for each stage"
    )


def load(path_or_name: str) -> Config:
  """The config that a file, or a config that ships with jnas, describes.

  Args:
    path_or_name: a path ending in .py, or a name such as "quickstart".

  Raises:
    FileNotFoundError: if there is neither such a file nor such a name.
    ValueError: if the file does not define `get_config() -> Config`.
  """
  path = pathlib.Path(path_or_name)
  if path.suffix != ".py":
    known = shipped()
    if path_or_name not in known:
      raise FileNotFoundError(
        f"no config {path_or_name!r}: give a path ending in .py, or one of "
        f"{', '.join(known)}"
      )
    path = known[path_or_name]
  if not path.is_file():
    raise FileNotFoundError(f"no config file {str(path)!r}")
  try:
    get_config = getattr(_import(path), "get_config", None)
    config = get_config() if callable(get_config) else None
  except mistakes.SLIPS as error:
    hint = mistakes.suggest_field(error, _RECORDS)
    raise ValueError(
      f"{path}: {mistakes.describe(error, path)}{hint}"
    ) from error
  if not callable(get_config):
    raise ValueError(f"{path}: defines no function get_config()")
  if not isinstance(config, Config):
    raise ValueError(
      f"{path}: get_config() returned {type(config).__name__}, not "
      "jnas.config.Config"
    )
  try:
    mistakes.check_types(config)
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error
  return config


def shipped() -> dict[str, pathlib.Path]:
  """The configs that ship with jnas, by name."""
  package = pathlib.Path(__file__).parent
  for folder in (package / "configs", package.parent / "configs"):
    if folder.is_dir():
      return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.py"))
        if path.stem != "__init__"
      }
  return {}


def _import(path: pathlib.Path) -> types.ModuleType:
  spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
  if spec is None or spec.loader is None:
    raise ImportError("cannot be imported")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def flatten(config: Config) -> dict[str, Any]:
  """Every field by its dotted name, and every method setting by its own."""
  flat: dict[str, Any] = {}
  for name, value in dataclasses.asdict(config).items():
    if isinstance(value, dict):
      for inner, leaf in value.items():
        if isinstance(leaf, dict):
          flat |= {f"{name}.{inner}.{key}": leaf[key] for key in sorted(leaf)}
        else:
          flat[f"{name}.{inner}"] = leaf
    else:
      flat[name] = value
  return flat


def identity(config: Config) -> dict[str, Any]:
  """The fields, nested, that make the run what it is: all but `benchmark`."""
  fields = dataclasses.asdict(config)
  del fields["benchmark"]
  return fields


def fingerprint(config: Config) -> str:
  """12 hexadecimal digits that change with any field of `identity`."""
  fields = _plain(config)
  del fields["benchmark"]
  text = json.dumps(fields, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(record: Any) -> dict[str, Any]:
  """The fields as values; 1 in a float's field is the 1.0 it stands for."""
  values = {}
  for field in dataclasses.fields(record):
    value = getattr(record, field.name)
    if dataclasses.is_dataclass(value):
      values[field.name] = _plain(value)
    elif field.type is float:
      values[field.name] = float(value)
    elif field.type == tuple[float, ...]:
      values[field.name] = [float(item) for item in value]
    else:
      values[field.name] = value
  return values


def _section(of: type, values: dict[str, Any]) -> Any:
  """A section from its JSON, which has lists for tuples."""
  return of(
    **{
      name: tuple(value) if isinstance(value, list) else value
      for name, value in values.items()
    }
  )


def from_dict(fields: dict[str, Any]) -> Config:
  """The config that `dataclasses.asdict` or `identity` wrote.

  Raises:
    ValueError: for a field that is unknown, missing or of another type.
  """
  fields = {"benchmark": {}, "segment": {}, **fields}
  try:
    config = Config(
      **{
        **fields,
        **{name: _section(of, fields[name]) for name, of in _SECTIONS.items()},
      }
    )
  except (TypeError, KeyError) as error:
    raise ValueError(
      "not the config of this version of jnas: "
      f"{mistakes.describe(error)}{mistakes.suggest_field(error, _RECORDS)}"
    ) from error
  mistakes.check_types(config)
  return config
