"""jnas bench, through the command line."""

import dataclasses
import functools
import json
import pathlib

import jax
import pytest

from jnas import cli
from jnas import config as configs
from jnas.pipeline import bench
from jnas.training import memory
from tests.pipeline import tiny

CONFIG = pathlib.Path(tiny.__file__)
MACHINE = {"rss_bytes", "lowering", "devices", "device_kind", "batch"}
MEASURED = {
  "step_s",
  "images_per_s",
  "compile_cold_s",
  "compile_warm_s",
  "peak_bytes",
  "hlo_instructions",
}
OF_ARCHITECTURE = {"arch_step_s", "arch_compile_cold_s", "arch_compile_warm_s"}


@pytest.mark.parametrize(
  ("what", "fields", "batch"),
  [("step", MEASURED | OF_ARCHITECTURE, 8), ("evaluate", MEASURED, 16)],
)
def test_bench_prints_one_json_object_and_writes_nothing(
  tmp_path, monkeypatch, capfd, what, fields, batch
):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(SystemExit) as done:
    cli.main(
      ["bench", what, "--config", str(CONFIG), "--repeats", "1", "--json"]
    )
  assert done.value.code == 0
  out, _ = capfd.readouterr()
  (line,) = out.splitlines()
  found = json.loads(line)
  assert set(found) == fields | MACHINE
  assert all(found[name] > 0 for name in fields)
  assert found["batch"] == batch
  assert found["images_per_s"] == pytest.approx(batch / found["step_s"])
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("remat", ["op", "cell"])
def test_computing_again_takes_less_memory(remat):
  assert peak(remat) < 0.8 * peak("none")


@functools.cache
def peak(remat):
  config = configs.load("smoke")
  supernet = dataclasses.replace(config.supernet, remat=remat)
  config = dataclasses.replace(config, supernet=supernet)
  workload = bench.search_workload(config)
  program = bench.compile_step(workload.steps["step_s"], workload)
  return memory.compiled_peak_bytes(program)


def test_a_step_compiled_for_one_derived_cell_has_no_branch_for_it():
  """`--compare base supernet.transit=recompile`: what switching costs."""
  config = configs.load("smoke")
  branches = {}
  for transit in ("recompile", "switch"):
    engine = dataclasses.replace(
      config,
      space="darts_no_none",
      method=configs.MethodConfig(name="entrannas"),
      supernet=configs.SupernetConfig(engine="first", transit=transit),
      search=dataclasses.replace(config.search, cells=3, channels=2),
    )
    workload = bench.search_workload(engine)
    lowered = jax.jit(workload.steps["arch_step_s"]).lower(
      workload.state, workload.batch
    )
    branches[transit] = lowered.as_text().count("stablehlo.case")
  assert branches["recompile"] == 0 < branches["switch"]
