"""Fixtures that every test may use."""

import os
import pathlib

import jax
import pytest

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
