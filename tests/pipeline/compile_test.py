"""A run compiles each step once, and nothing after its first epoch."""

import collections
import logging
import re

import jax
import pytest

from jnas.pipeline import evaluate, search
from tests.pipeline import tiny


class Compilations(logging.Handler):
  """Names of what is compiled, in order, among the events of a run."""

  def __init__(self):
    super().__init__()
    self.names = []

  def emit(self, record):
    found = re.match(
      r"Finished XLA compilation of (?:jit\()?(\w+)", record.getMessage()
    )
    if found:
      self.names.append(found[1])

  def note(self, event):
    self.names.append(f"event {event}")

  def after(self, event):
    """What was compiled after an event."""
    names = self.names[self.names.index(f"event {event}") :]
    return [name for name in names if not name.startswith("event ")]


@pytest.fixture
def compilations():
  handler = Compilations()
  logger = logging.getLogger("jax")
  logger.addHandler(handler)
  with jax.log_compiles():
    yield handler
  logger.removeHandler(handler)


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
