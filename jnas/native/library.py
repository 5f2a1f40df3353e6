"""Finds the compiled kernels, checks that they fit, registers them with XLA.

They are built with the package where there is a compiler (see setup.py) and
are done without where there is none: everything has a twin in XLA.
"""

import ctypes
import functools
import importlib.machinery
import os
import pathlib
import re
from importlib import metadata
from typing import NamedTuple

import jax
import numpy as np

# Set to 0, it keeps the kernels unused.
SWITCH = "JNAS_NATIVE"

_TARGETS = (
  "jnas_convolve",
  "jnas_input_gradient",
  "jnas_kernel_gradient",
  "jnas_dense_convolve",
  "jnas_dense_input_gradient",
  "jnas_dense_kernel_gradient",
  "jnas_pool_max",
  "jnas_pool_take",
  "jnas_pool_put",
  "jnas_pool_mean",
  "jnas_pool_spread",
  "jnas_separate",
  "jnas_separate_back",
  "jnas_normalize",
  "jnas_moments",
  "jnas_standardize",
  "jnas_project",
  "jnas_products",
  "jnas_subtract",
  "jnas_mix",
  "jnas_mix_spread",
  "jnas_mix_inner",
  "jnas_assemble",
  "jnas_cut",
)

# XLA promises to take handlers a year old; its interface changes twice a year.
_OLDEST = 3


class Status(NamedTuple):
  """Whether the kernels are in use, and the reason in words."""

  is_loaded: bool
  reason: str


@functools.cache
def load() -> Status:
  """Registers the kernels with XLA, once, if they can be used."""
  if os.environ.get(SWITCH) == "0":
    return Status(False, f"switched off by {SWITCH}=0")
  path = _find()
  if path is None:
    return Status(False, "not built: no C++ compiler when jnas was installed")
  try:
    library = ctypes.CDLL(str(path))
    handlers = {target: getattr(library, target) for target in _TARGETS}
    built = (library.jnas_ffi_major(), library.jnas_ffi_minor())
  except (OSError, AttributeError) as error:  # broken, or of another version
    return Status(False, f"{path.name} does not load: {error}")
  offered = _read_ffi_version()
  if offered is None or not _is_compatible(built, offered):
    return Status(
      False,
      f"{path.name} was built for XLA FFI {_dotted(built)}, jaxlib"
      f" {metadata.version('jaxlib')} has {_dotted(offered)}; reinstall jnas"
      " with --no-build-isolation",
    )
  for target, handler in handlers.items():
    capsule = jax.ffi.pycapsule(handler)
    jax.ffi.register_ffi_target(target, capsule, platform="cpu")
  library.jnas_instruction_set.restype = ctypes.c_char_p
  return Status(True, library.jnas_instruction_set().decode())


def call(target: str, results, *args: jax.Array, **attributes):
  """Calls a kernel: results as `[(shape, dtype), ...]`, a list of arrays."""
  for name, value in attributes.items():
    if not isinstance(value, np.ndarray):
      kind = np.float32 if isinstance(value, float) else np.int64
      attributes[name] = kind(value)
  shapes = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results]
  return jax.ffi.ffi_call(target, shapes)(*args, **attributes)


def _find() -> pathlib.Path | None:
  folder = pathlib.Path(__file__).parent
  for suffix in importlib.machinery.EXTENSION_SUFFIXES:
    path = folder / f"_kernels{suffix}"
    if path.exists():
      return path
  return None


def _read_ffi_version() -> tuple[int, int] | None:
  """Reads the version from jaxlib's headers; it is stated nowhere else.

  XLA itself checks the version only when it starts, and a library that is too
  new for it then takes the whole CPU backend down.
  """
  header = pathlib.Path(jax.ffi.include_dir()) / "xla/ffi/api/c_api.h"
  if not header.exists():
    return None
  text = header.read_text()
  found = [
    re.search(rf"^#define XLA_FFI_API_{part} (\d+)", text, re.MULTILINE)
    for part in ("MAJOR", "MINOR")
  ]
  if found[0] is None or found[1] is None:
    return None
  return int(found[0][1]), int(found[1][1])


def _is_compatible(built: tuple[int, int], offered: tuple[int, int]) -> bool:
  age = offered[1] - built[1]
  return built[0] == offered[0] and 0 <= age <= _OLDEST


def _dotted(version: tuple[int, int] | None) -> str:
  return "an unknown one" if version is None else f"{version[0]}.{version[1]}"
