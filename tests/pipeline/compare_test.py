import json
import subprocess
import sys

import pytest

from jnas.pipeline import bench, compare
from tests.pipeline import tiny


@pytest.mark.parametrize(
  "text,overrides,environment",
  [
    ("base", [], {}),
    ("search.channels=8", ["--search.channels", "8"], {}),
    ("data.flip=false", ["--data.no-flip"], {}),
    ("data.flip=true", ["--data.flip"], {}),
    ("JNAS_NATIVE=0", [], {"JNAS_NATIVE": "0"}),
    (
      "seed=3 XLA_FLAGS='--one=1 --two'",
      ["--seed", "3"],
      {"XLA_FLAGS": "--one=1 --two"},
    ),
  ],
)
def test_a_setting_changes_fields_and_the_environment(
  text, overrides, environment
):
  assert compare.parse(text) == (text, overrides, environment)


@pytest.mark.parametrize(
  "text,message",
  [
    ("", "empty setting"),
    ("native", "'native' is neither field=value"),
    ("base seed=1", "'base' is neither"),
    ("Search.channels=8", "'Search.channels=8' is neither"),
    ("seed='1", "No closing quotation"),
  ],
)
def test_a_word_that_changes_nothing_is_named(text, message):
  with pytest.raises(ValueError, match=message):
    compare.parse(text)


def test_the_ratio_is_taken_round_by_round():
  seconds = [
    [{"step_s": 1.0, "arch_step_s": 2.0}, {"step_s": 2.0, "arch_step_s": 1.0}],
    # The machine is busy: both are slow, the ratio is hardly different.
    [
      {"step_s": 10.0, "arch_step_s": 8.0},
      {"step_s": 30.0, "arch_step_s": 2.0},
    ],
    [{"step_s": 2.0, "arch_step_s": 4.0}, {"step_s": 3.0, "arch_step_s": 3.0}],
  ]
  ready = [{"lowering": "one", "batch": 4}, {"lowering": "two", "batch": 6}]
  result = compare.summarize(["base", "seed=1"], ready, seconds)
  assert result["a"] == {
    "setting": "base",
    "step_s": 2.0,
    "arch_step_s": 4.0,
    "images_per_s": 2.0,
    "lowering": "one",
    "batch": 4,
  }
  assert result["b"]["step_s"] == 3.0
  assert result["b"]["images_per_s"] == 2.0
  # 2 / 1, 30 / 10, 3 / 2; and 1 / 2, 2 / 8, 3 / 4.
  assert result["ratio"] == {
    "step_s": {"median": 2.0, "min": 1.5, "max": 3.0},
    "arch_step_s": {"median": 0.5, "min": 0.25, "max": 0.75},
  }
  assert result["rounds"] == 3
  assert "2.000    from 1.500 to 3.000 in 3 rounds" in compare.describe(result)


def run_bench(*arguments):
  return subprocess.run(
    [sys.executable, "-m", "jnas.cli", "bench", *arguments],
    capture_output=True,
    text=True,
  )


def test_the_command_compares_kernels_with_xla(compile_cache, monkeypatch):
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(compile_cache))
  done = run_bench(
    *("step", "--config", "tests/pipeline/tiny.py", "--json"),
    *("--repeats", "2", "--compare", "search.batch_size=4", "JNAS_NATIVE=0"),
  )
  assert done.returncode == 0, done.stderr
  result = json.loads(done.stdout)
  assert result["a"]["batch"] == 4
  assert result["b"]["batch"] == 8
  assert "JNAS_NATIVE=0" in result["b"]["lowering"]
  for ratio in result["ratio"].values():
    assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]


def test_the_command_refuses_a_field_that_is_unknown():
  done = run_bench(
    *("step", "--config", "tests/pipeline/tiny.py"),
    *("--compare", "base", "search.chanels=8"),
  )
  assert done.returncode == 2
  assert "did you mean --search.channels?" in done.stderr
  assert done.stdout == ""


def test_bench_gives_the_fields_that_scripts_rely_on():
  result = bench.run_step(tiny.get_config(), repeats=3)
  assert {
    *("step_s", "arch_step_s", "images_per_s", "compile_cold_s"),
    *("compile_warm_s", "peak_bytes", "rss_bytes", "hlo_instructions"),
    *("lowering", "devices", "batch"),
  } <= set(result)
  assert result["images_per_s"] == 8 / result["step_s"]
  assert result["batch"] == 8
  for name in ("step_s", "arch_step_s", "peak_bytes", "hlo_instructions"):
    assert result[name] > 0
