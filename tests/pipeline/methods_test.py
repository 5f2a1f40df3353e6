"""Every method through the search stage, killed and not."""

import dataclasses

import pytest

from jnas import config as configs
from jnas.methods import METHODS
from jnas.pipeline import evaluate, search
from jnas.spaces import Space
from tests.pipeline import tiny

# Settings under which something happens within six steps.
SETTINGS = {
  "snas": {"target_params": 2000.0, "per_example": True},
  "sgas": {"first_decision": 0, "decide_every": 1},
  "unas": {"estimator": "reinforce"},
}
# The same operations on every edge, and nothing that is `none`.
SPACE = Space(
  name="even",
  num_inputs=2,
  num_nodes=1,
  ops={
    "normal": (("skip_connect", "sep_conv_3x3"),) * 2,
    "reduce": (("skip_connect", "max_pool_3x3"),) * 2,
  },
  concat=(2,),
)


def config_of(name, **fields):
  base = tiny.get_config(checkpoint_seconds=1e-9, random_baselines=0)
  method = configs.MethodConfig(name=name, settings=SETTINGS.get(name, {}))
  return dataclasses.replace(
    base, space="tests.pipeline.methods_test:SPACE", method=method, **fields
  )


@pytest.mark.parametrize(
  "name", [name for name in METHODS if not METHODS[name].trains_candidates]
)
def test_a_killed_search_ends_with_the_same_bits(name, tmp_path, run_killed):
  config = config_of(name)
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  search.run(config, whole)
  run_killed(
    lambda: search.run(config, killed), "search: saved 2", "search: saved 3"
  )
  assert tiny.results(killed, "search") == tiny.results(whole, "search")


def test_random_search_keeps_the_best_candidate_and_resumes(
  tmp_path, run_killed
):
  config = config_of("random")
  config = dataclasses.replace(
    config,
    method=configs.MethodConfig(name="random", settings={"num_candidates": 2}),
    search=dataclasses.replace(config.search, epochs=1),
  )
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  found = search.run(config, whole)
  scores = [each["valid_accuracy"] for each in found.summary["candidates"]]
  assert len(scores) == 2
  assert found.summary["valid_accuracy"] == max(scores)
  assert found.summary["best_candidate"] == scores.index(max(scores))
  run_killed(lambda: search.run(config, killed), "candidate_1: saved 2")
  stages = ("search/candidate_0", "search/candidate_1")
  assert tiny.results(killed, *stages) == tiny.results(whole, *stages)


def test_a_search_in_stages_prunes_deepens_and_resumes(tmp_path, run_killed):
  config = config_of(
    "darts",
    progressive=configs.ProgressiveConfig(
      cells=(3, 4), ops=(2, 1), drop_skip=(0.0, 0.4), max_skips=1
    ),
  )
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  genotype = search.run(config, whole).genotype
  skips = [op for node in genotype.normal.nodes for op, _ in node]
  assert skips.count("skip_connect") <= 1
  run_killed(lambda: search.run(config, killed), "search: saved 5")
  stages = ("search", "search/stage_0")
  assert tiny.results(killed, *stages) == tiny.results(whole, *stages)


def test_transit_cells_give_the_same_search_however_they_skip(tmp_path):
  """One program for all derived cells, zero weights, or one program each."""
  found = {}
  for mode in ("switch", "mask", "recompile"):
    config = config_of(
      "entrannas",
      supernet=configs.SupernetConfig(engine="first", transit=mode),
    )
    config = dataclasses.replace(
      config, search=dataclasses.replace(config.search, cells=4)
    )
    found[mode] = search.run(config, tmp_path / mode)
  genotypes = {result.genotype for result in found.values()}
  assert len(genotypes) == 1
  losses = [result.summary["train_accuracy"] for result in found.values()]
  assert max(losses) - min(losses) <= 1 / 24 + 1e-6


def test_what_random_search_found_is_evaluated(tmp_path):
  config = config_of("random")
  config = dataclasses.replace(
    config,
    method=configs.MethodConfig(name="random", settings={"num_candidates": 1}),
    search=dataclasses.replace(config.search, epochs=1),
    evaluate=dataclasses.replace(config.evaluate, epochs=1),
  )
  found = search.run(config, tmp_path)
  result = evaluate.run(config, tmp_path)
  assert result.summary["genotype"] == found.summary["genotype"]
