"""Fixtures that every test may use."""

import os
import pathlib

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

# Eager rank promotion hides mistakes; the program never relies on it.
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
  """The folder of oracles and data beside the project."""
  path = pathlib.Path(__file__).resolve().parents[2] / "shared"
  if not path.is_dir():
    if os.environ.get("CI") == "true":
      pytest.fail(f"no folder {path}; it must be there in CI")
    pytest.skip(f"needs the oracles and data in {path}")
  return path


@pytest.fixture
def x64():
  """Double precision for the length of a test."""
  with jax.enable_x64(True):
    yield


@pytest.fixture(scope="session")
def compile_cache(tmp_path_factory) -> pathlib.Path:
  """A folder of compiled programs that all tests of a session share."""
  folder = tmp_path_factory.getbasetemp()
  if "PYTEST_XDIST_WORKER" in os.environ:
    folder = folder.parent
  jax.config.update("jax_compilation_cache_dir", str(folder / "xla"))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
  compilation_cache.reset_cache()  # it may have found itself unused before
  return folder / "xla"
