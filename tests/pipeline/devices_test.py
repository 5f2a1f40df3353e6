"""One device and four give the same run."""

import os
import pathlib
import subprocess
import sys

import numpy as np

from tests.pipeline import tiny

PROJECT = pathlib.Path(__file__).parents[2]
_RUN = """
import pathlib, sys
import jax
from jnas.pipeline import evaluate, search
from tests.pipeline import tiny
assert jax.device_count() == 4
config = tiny.get_config(random_baselines=0)
search.run(config, sys.argv[1])
evaluate.run(config, sys.argv[1])
"""


def numbers_of(record: dict) -> dict[str, np.ndarray]:
  """The results in a record, by name; what they are called stays apart."""
  found = {}
  for name, value in record.items():
    if isinstance(value, dict):
      inner = numbers_of(value)
      found |= {f"{name}.{key}": inner[key] for key in inner}
    elif name not in ("peak_bytes",) and not isinstance(value, str | bool):
      found[name] = value
  return {
    name: np.asarray(value, float)
    for name, value in found.items()
    if np.asarray(value).dtype.kind in "if"
  }


def test_four_devices_find_and_train_the_same_networks(
  reference, tmp_path, compile_cache
):
  flags = os.environ.get("XLA_FLAGS", "")
  done = subprocess.run(
    [sys.executable, "-c", _RUN, str(tmp_path)],
    cwd=PROJECT,
    env={
      **os.environ,
      "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=4",
      "JAX_PLATFORMS": "cpu",
      "JAX_COMPILATION_CACHE_DIR": str(compile_cache),
    },
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr
  stages = ("search", "evaluate")
  one, four = (tiny.results(path, *stages) for path in (reference, tmp_path))
  assert four["genotype"] == one["genotype"]
  for stage in stages:
    records = zip(one[stage]["metrics"], four[stage]["metrics"], strict=True)
    for wanted, got in records:
      wanted, got = numbers_of(wanted), numbers_of(got)
      assert wanted.keys() == got.keys()
      for name in wanted:
        np.testing.assert_allclose(
          got[name], wanted[name], rtol=1e-5, atol=1e-5, err_msg=name
        )
