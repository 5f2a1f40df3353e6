"""Latency tables, and searches that minimise what is in them."""

import dataclasses

import jax
import numpy as np
import pytest

from jnas import config, latency
from jnas.pipeline import latency as pipeline
from jnas.pipeline import latency_build, problem, search
from tests.pipeline import tiny

EFFORT = latency_build.Effort(batch_size=2, samples=10, repeats=1, compiled=2)


def unas_config(**settings):
  base = tiny.get_config()
  return dataclasses.replace(
    base,
    method=config.MethodConfig(name="unas", settings=settings),
    search=dataclasses.replace(base.search, arch_lr=0.5, optimizer="adam"),
  )


@pytest.fixture(scope="module")
def built(tmp_path_factory, compile_cache):
  path = tmp_path_factory.mktemp("latency") / "table.json"
  return path, latency_build.build(unas_config(), path, EFFORT)


def with_costs(built, tmp_path, *, skip, other):
  """The table with an operation's latencies put in."""
  table = built[1]
  rows = [[skip, other]] * 2
  changed = dataclasses.replace(
    table,
    layers=tuple(
      dict(layer, median_ms=rows, spread_ms=rows) for layer in table.layers
    ),
    rest_ms=0.0,
    coefficients={name: rows for name in table.coefficients},
    bias=0.0,
  )
  path = tmp_path / "costs.json"
  latency.save(path, changed)
  return str(path)


def test_a_table_says_what_was_measured_and_how_well(built):
  path, table = built
  assert latency.load(path) == table
  assert table.space == "tests.pipeline.tiny:SPACE"
  assert table.batch_size == 2 and table.repeats == 1
  assert table.network["cells"] == 3 and len(table.layers) == 3
  # A skip costs nothing where it keeps the shape, a convolution always does.
  normal = table.operations()["normal"]
  assert (normal[:, 0] == 0).all() and (normal[:, 1] > 0).all()
  assert len(table.compiled) == 2
  for row in table.compiled:
    assert row["measured_ms"] > 0
  # The first network is the one that corrects.
  corrected = table.compiled[0]
  assert corrected["indexed_ms"] == pytest.approx(corrected["measured_ms"])
  assert corrected["table_ms"] == pytest.approx(corrected["measured_ms"])
  assert set(table.errors) == {
    "drift",
    "fit_mae_ms",
    "held_out_mae_ms",
    "samples_mean_ms",
    "samples_deviation_ms",
    "indexed_to_compiled_ms",
    "surrogate_to_compiled_ms",
    "table_to_compiled_ms",
  }
  assert all(np.isfinite(value) for value in table.errors.values())


def test_the_method_reads_the_table_as_two_linear_models(built):
  path, table = built
  found = problem.prepare(unas_config(latency_table=str(path)))
  read = pipeline.load(found)
  assert read is not None
  np.testing.assert_allclose(
    read.surrogate.coefficients["reduce"], table.coefficients["reduce"]
  )
  np.testing.assert_allclose(
    read.table.coefficients["normal"], table.operations()["normal"], rtol=1e-6
  )
  assert float(read.table.bias) == pytest.approx(table.rest_ms)
  assert pipeline.load(problem.prepare(unas_config())) is None


@pytest.mark.parametrize(
  ("skip", "other", "wanted"), [(0.0, 5.0, "skip_connect"), (5.0, 0.0, "other")]
)
def test_a_search_avoids_what_the_table_says_is_slow(
  built, tmp_path, skip, other, wanted
):
  path = with_costs(built, tmp_path, skip=skip, other=other)
  found = search.run(
    unas_config(
      latency_table=path,
      latency_target=0.0,
      latency_weight=100.0,
      latency_ramp=0,
    ),
    tmp_path / "run",
  )
  names = {
    name if name == "skip_connect" else "other"
    for cell in found.genotype.cells().values()
    for _, _, name in cell.connections()
  }
  assert names == {wanted}
  assert found.summary["kind"] == "summary"


def test_a_search_times_every_architecture_that_it_draws(
  built, tmp_path, monkeypatch
):
  path, _ = built
  timed = []
  honest = pipeline.Clock.milliseconds

  def milliseconds(self, weights):
    timed.append(weights)
    return honest(self, weights)

  monkeypatch.setattr(pipeline.Clock, "milliseconds", milliseconds)
  settings = {"latency_table": str(path), "latency_measure": "device"}
  search.run(unas_config(**settings), tmp_path / "run")
  assert len(timed) == 2 * tiny.STEPS_PER_EPOCH
  for weights in timed:
    for name in ("normal", "reduce"):
      assert np.sum(weights[name]) == 2  # two connections for the one node


def test_the_clock_is_corrected_to_a_network_compiled_for_itself(built):
  _, table = built
  found = problem.prepare(unas_config())
  far = dataclasses.replace(table, correction={"scale": 0.0, "offset": 7.5})
  weights = {
    name: np.zeros((2, 2), np.float32) for name in ("normal", "reduce")
  }
  assert pipeline.Clock(found, far).milliseconds(weights) == 7.5


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"network": {"cells": 8}}, "cells is 8"),
    ({"space": "darts"}, "space is 'darts'"),
    ({"device": {"kind": "another chip"}}, "'another chip'"),
  ],
)
def test_a_table_of_something_else_is_refused_before_anything_is_written(
  built, tmp_path, changes, said
):
  _, table = built
  if "network" in changes:
    changes = {"network": {**table.network, **changes["network"]}}
  path = tmp_path / "table.json"
  latency.save(path, dataclasses.replace(table, **changes))
  settings = {"latency_table": str(path), "latency_measure": "device"}
  with pytest.raises(ValueError, match=said):
    search.run(unas_config(**settings), tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_a_network_is_timed_compiled_for_itself(built):
  genotype_of = search.genotypes.from_dict(built[1].compiled[0]["genotype"])
  timing = latency_build.measure(unas_config(), genotype_of, EFFORT)
  assert timing.median_ms > 0
  assert jax.process_count() == 1


def test_a_space_without_a_program_that_branches_is_refused(tmp_path):
  other = dataclasses.replace(
    unas_config(cell="edges"), space="nasbench201", search=config.SearchConfig()
  )
  other = dataclasses.replace(
    other,
    evaluate=dataclasses.replace(
      other.evaluate, auxiliary_weight=0.0, channels=4
    ),
  )
  with pytest.raises(ValueError, match="no program that branches"):
    latency_build.build(other, tmp_path / "table.json", EFFORT)


@pytest.mark.parametrize(("name", "value"), [("samples", 3), ("compiled", 1)])
def test_too_little_effort_is_refused(tmp_path, name, value):
  effort = EFFORT._replace(**{name: value})
  with pytest.raises(ValueError, match=f"--{name} is {value}"):
    latency_build.build(unas_config(), tmp_path / "table.json", effort)


def test_a_device_that_slows_down_is_remarked_on(
  tmp_path, compile_cache, monkeypatch
):
  # Each call of the clock says one millisecond more than the one before.
  calls = iter(range(1, 1000))
  monkeypatch.setattr(
    latency_build.tables,
    "time_calls",
    lambda *_, **__: latency.Timing(float(next(calls)), 0.0),
  )
  said = []
  monkeypatch.setattr(latency_build.display, "warn", said.append)
  table = latency_build.build(unas_config(), tmp_path / "table.json", EFFORT)
  assert table.errors["drift"] > 0.1
  assert len(said) == 1 and "keeps the device busy" in said[0]
