"""One device and four give the same run, also one after the other."""

import os
import pathlib
import shutil
import subprocess
import sys

import jax

from tests.pipeline import tiny

PROJECT = pathlib.Path(__file__).parents[2]
# What rounding may change, in parts of 1 + the size of a number.
SAME = 1e-5
OPTIONS = (
  *("--config", str(PROJECT / "tests" / "pipeline" / "tiny.py")),
  *("--evaluate.random_baselines", "0"),
)


def numbers_of(record: dict) -> dict[str, float]:
  """The results in a record, by name; what they are called stays apart."""
  return {
    jax.tree_util.keystr(path): float(leaf)
    for path, leaf in jax.tree.leaves_with_path(record)
    if isinstance(leaf, int | float) and not isinstance(leaf, bool)
    if "peak_bytes" not in jax.tree_util.keystr(path)
  }


def differences(got: dict, wanted: dict) -> dict[str, float]:
  """How far the numbers of two records are apart, in parts of 1 + their size.

  Raises:
    AssertionError: if they do not have the same numbers.
  """
  got, wanted = numbers_of(got), numbers_of(wanted)
  assert got.keys() == wanted.keys()
  return {
    name: abs(got[name] - wanted[name]) / (1 + abs(wanted[name]))
    for name in wanted
  }


def run(cache, command: str, *arguments: str) -> str:
  done = subprocess.run(
    [sys.executable, "-m", "jnas.cli", command, *OPTIONS, *arguments],
    cwd=PROJECT,
    env={
      **os.environ,
      "JAX_PLATFORMS": "cpu",
      "JAX_COMPILATION_CACHE_DIR": str(cache),
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    },
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr
  return done.stderr


def assert_same(
  path: pathlib.Path, reference: pathlib.Path, *stages: str
) -> None:
  """The same genotype, and the same numbers up to rounding."""
  stages = stages or ("search", "evaluate")
  one, four = (tiny.results(found, *stages) for found in (reference, path))
  assert four["genotype"] == one["genotype"]
  for stage in stages:
    records = zip(one[stage]["metrics"], four[stage]["metrics"], strict=True)
    for wanted, got in records:
      apart = differences(got, wanted)
      assert max(apart.values()) <= SAME, apart


def test_four_devices_find_and_train_the_same_networks(
  reference, tmp_path, compile_cache
):
  folder = ("--workdir", str(tmp_path))
  run(compile_cache, "search", "--devices", "4", *folder)
  run(compile_cache, "evaluate", "--devices", "4", *folder)
  assert_same(tmp_path, reference)


def test_a_run_goes_on_with_another_number_of_devices(
  reference, tmp_path, compile_cache
):
  run(compile_cache, "search", "--devices", "2", "--workdir", str(tmp_path))
  # As if it had been killed after its first epoch.
  (tmp_path / "genotype.json").unlink()
  shutil.rmtree(tmp_path / "search" / "checkpoints" / "6")
  said = run(compile_cache, "search", "--workdir", str(tmp_path))
  assert "going on from step 3 of 6" in said
  run(compile_cache, "evaluate", "--devices", "4", "--workdir", str(tmp_path))
  assert_same(tmp_path, reference)
