"""A run compiles each step once, and nothing after its first epoch."""

import collections

from jnas.pipeline import evaluate, search
from tests.pipeline import tiny


def test_a_search_compiles_each_step_once(tmp_path, compilations, on_event):
  on_event(compilations.note)
  search.run(tiny.get_config(), tmp_path)
  counts = collections.Counter(compilations.names)
  for step in (
    "arch_step",
    "weight_step",
    "evaluate",
    "believe",
    "after_epoch",
  ):
    assert counts[step] == 1, counts
  assert compilations.after("search: saved 3") == []


def test_an_evaluation_compiles_each_step_once_for_each_network(
  reference, tmp_path, compilations, on_event
):
  genotype = search.run(tiny.get_config(), reference).genotype
  on_event(compilations.note)
  evaluate.run(tiny.get_config(), tmp_path, genotype=genotype)
  counts = collections.Counter(compilations.names)
  assert counts["train_step"] == counts["evaluate"] == 2, counts
  assert compilations.after("random_0: saved 3") == []
