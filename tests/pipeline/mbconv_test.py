"""A chain of MBConv layers goes through the stages that cells go through."""

import dataclasses

import pytest

from jnas import config, genotype
from jnas.nets import mbconv_plan
from jnas.pipeline import (
  evaluate,
  latency,
  latency_build,
  networks,
  problem,
  search,
  select,
)
from tests.pipeline import tiny_mbconv


def test_a_chain_is_searched_and_its_network_trained(tmp_path, compile_cache):
  settings = tiny_mbconv.get_config()
  found = search.run(settings, tmp_path / "run")
  ops = mbconv_plan.ops_of(
    found.genotype, networks.evaluate_plan(problem.prepare(settings))
  )
  assert len(ops) == 3
  saved = genotype.load(tmp_path / "run" / "genotype.json")
  assert saved == found.genotype
  result = evaluate.run(settings, tmp_path / "run")
  assert result.summary["params"] > 0
  assert len(result.baselines) == 1


@pytest.mark.parametrize(
  ("section", "changes", "said"),
  [
    ("search", {"drop_path": 0.1}, "search.drop_path is 0.1"),
    ("search", {"cells": 4}, "search: 4 layers"),
    ("search", {"cells": 5}, "a network of 5 layers"),
    ("progressive", {"max_skips": 2}, "is a chain of layers"),
  ],
)
def test_settings_that_a_chain_cannot_have_are_refused(section, changes, said):
  base = tiny_mbconv.get_config()
  part = dataclasses.replace(getattr(base, section), **changes)
  with pytest.raises(ValueError, match=said):
    networks.search_net(
      problem.prepare(dataclasses.replace(base, **{section: part}))
    )


def test_evaluation_with_dropped_paths_is_refused():
  base = tiny_mbconv.get_config()
  part = dataclasses.replace(base.evaluate, drop_path=0.2)
  found = problem.prepare(dataclasses.replace(base, evaluate=part))
  with pytest.raises(ValueError, match="evaluate.drop_path is 0.2"):
    networks.check_evaluate(found)


def test_a_selection_edge_by_edge_is_refused():
  base = tiny_mbconv.get_config()
  changed = dataclasses.replace(
    base, selection=config.SelectionConfig(name="perturbation")
  )
  with pytest.raises(ValueError, match="must be 'none' or 'sampled'"):
    select.check(problem.prepare(changed))


def test_the_latency_of_a_chain_is_tabled_layer_by_layer(
  tmp_path, compile_cache
):
  effort = latency_build.Effort(batch_size=2, samples=10, repeats=1, compiled=2)
  path = tmp_path / "table.json"
  table = latency_build.build(tiny_mbconv.get_config(), path, effort)
  operations = table.operations()
  assert operations["normal"].shape == (1, 7)
  assert operations["reduce"].shape == (2, 6)
  assert operations["normal"][0, 0] == 0  # the skip
  assert (operations["reduce"] > 0).all()
  assert all(row["measured_ms"] > 0 for row in table.compiled)
  base = tiny_mbconv.get_config()
  asks = dataclasses.replace(
    base,
    method=config.MethodConfig(
      name="unas", settings={"cell": "edges", "latency_table": str(path)}
    ),
  )
  read = latency.load(problem.prepare(asks))
  assert read is not None
  assert read.surrogate.coefficients["reduce"].shape == (2, 6)
