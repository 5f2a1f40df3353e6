"""Which values of the fields have a meaning."""

import math
import re

from jnas import mistakes
from jnas.config.fields import Config, DataConfig, SegmentConfig
from jnas.config.forms import flatten

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
