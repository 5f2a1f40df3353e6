"""Methods of every kind find on four devices what they find on one.

All of them, on several processes too, are for the tool `shapes`.
"""

import dataclasses
import os
import subprocess
import sys

import pytest

from jnas import config
from tests.pipeline import shapes, tiny
from tests.pipeline.devices_test import PROJECT, assert_same

PROGRAM = """
import pathlib, sys
from jnas.pipeline import search
from jnas.training import sharding
from tests.pipeline import methods_devices_test as test

for devices in (4, 1):
  sharding.use_devices(devices)
  folder = pathlib.Path(sys.argv[2], str(devices))
  search.run(test.config_of(sys.argv[1]), folder)
"""


def config_of(name: str) -> config.Config:
  """Three steps, with edges dropped at random for each image."""
  base = tiny.get_config()
  search = dataclasses.replace(base.search, channels=8, epochs=1, drop_path=0.2)
  return shapes.cases(dataclasses.replace(base, search=search))[name]


# Cells that compute the derived cell alone, and thresholds; channels that go
# past the operations; an architecture of its own for each image.
@pytest.mark.parametrize(
  "name", ["entrannas_dst_engine", "pc_darts", "unas_rebar_per_example"]
)
def test_four_devices_search_as_one_does(name, tmp_path, compile_cache):
  done = subprocess.run(
    [sys.executable, "-c", PROGRAM, name, str(tmp_path)],
    cwd=PROJECT,
    env={
      **os.environ,
      "JAX_PLATFORMS": "cpu",
      "JAX_COMPILATION_CACHE_DIR": str(compile_cache),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    },
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr
  assert_same(tmp_path / "4", tmp_path / "1", "search")
