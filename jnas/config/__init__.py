"""Typed settings of a run: fields, loading, checks, hash.

A config file is Python with a function `get_config() -> Config`. Every field
can be overridden on the command line by its dotted name.
"""

from jnas.config.checks import check
from jnas.config.fields import (
  PRESETS,
  BenchmarkConfig,
  Config,
  DataConfig,
  EvaluateConfig,
  MethodConfig,
  ProgressiveConfig,
  Scalar,
  SearchConfig,
  SegmentConfig,
  SelectionConfig,
  SupernetConfig,
)
from jnas.config.files import load, shipped
from jnas.config.forms import fingerprint, flatten, from_dict, identity

__all__ = [
  "PRESETS",
  "BenchmarkConfig",
  "Config",
  "DataConfig",
  "EvaluateConfig",
  "MethodConfig",
  "ProgressiveConfig",
  "Scalar",
  "SearchConfig",
  "SegmentConfig",
  "SelectionConfig",
  "SupernetConfig",
  "check",
  "fingerprint",
  "flatten",
  "from_dict",
  "identity",
  "load",
  "shipped",
]
