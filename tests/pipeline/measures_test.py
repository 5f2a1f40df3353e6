"""What claims measure, on the tiny problem."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnas import config
from jnas.pipeline import claims, problem, programs, search, stage
from jnas.pipeline.measures import cost, credit, shuffling
from jnas.training import keys, steps
from tests.pipeline import tiny, tiny_selection


def with_method(name, **changes):
  return dataclasses.replace(
    tiny.get_config(random_baselines=0),
    method=config.MethodConfig(name=name),
    **changes,
  )


def test_correlations_by_step_and_by_search():
  credited = np.array([[1.0, -1.0], [-1.0, 1.0]])
  changed = np.array([[1.0, -1.0], [1.0, 1.0]])
  found = credit.correlations(credited, changed)
  # Less their mean, 0 and 1/2, they are (1, -1, -1, 1), of size 2, and
  # (1/2, -3/2, 1/2, 1/2), of size sqrt(3); the product is 2.
  assert found["by_step"] == pytest.approx(2 / (2 * 3**0.5))
  assert found["by_search"] == 0.0  # no operation has credit on average
  found = credit.correlations(credited[:1], 3 * credited[:1])
  assert found == pytest.approx({"by_step": 1.0, "by_search": 1.0})


def test_credit_is_measured_along_a_search_by_snas(compile_cache, tmp_path):
  found = claims.measured(credit.credits, with_method("snas"), tmp_path)
  assert set(found) == {"by_step", "by_search"}
  assert all(-1 <= value <= 1 and value for value in found.values())
  written = (tmp_path / "measures" / "credits.json").read_text()
  assert json.loads(written) == found


def test_credit_is_that_of_the_sample_which_the_step_moves_by(compile_cache):
  given = with_method("snas")
  given = dataclasses.replace(
    given, search=dataclasses.replace(given.search, arch_weight_decay=0.0)
  )
  found = problem.prepare(given)
  dataset = problem.load_data(found)
  parts = programs.make(found, dataset)
  key = keys.base(given.seed, keys.Stage.SEARCH)
  state, train, _ = stage.place(
    programs.init_state(parts, key, dataset.image_shape),
    *search.split(found, dataset),
    batch_size=given.search.batch_size,
  )
  batch = train.first()
  credits = jax.jit(credit.make_credit(parts))(key, state, batch)
  after, _ = jax.jit(steps.make_weight_step(parts))(key, state, batch)
  moments = optax.tree_utils.tree_get(after.arch_opt, "mu")
  weights = parts.method.mix(
    parts.settings,
    state.arch,
    keys.key_for(jax.random.fold_in(key, 0), keys.Purpose.TRAIN_MIX),
    parts.context(state.memory, state.step),
  )
  for name, z in weights.items():
    # Of a softmax at temperature 1, less that of the edge, Eq. (7).
    edge = jnp.sum(z * credits[name], axis=-1, keepdims=True)
    grad = moments[name] / (1 - given.search.arch_beta1)
    np.testing.assert_allclose(grad, -z * (credits[name] - edge), atol=1e-6)
    assert float(jnp.max(jnp.abs(grad))) > 1e-4


def test_layers_of_a_trained_plain_network_are_exchanged(
  compile_cache, tmp_path
):
  found = claims.measured(
    shuffling.plain_shuffled, with_method("darts"), tmp_path
  )
  records = (tmp_path / "evaluate" / "metrics.jsonl").read_text().splitlines()
  assert found["before"] == json.loads(records[-1])["test_accuracy"]
  assert len(found["after"]) == 5
  assert found["mean"] == pytest.approx(np.mean(found["after"]))


def test_exchanged_layers_take_all_their_variables_with_them():
  cell = {"input_1": 0, "node_1": 1, "node_2": 2, "node_3": 3}
  tree = {"stem": 9, "cell_0": cell, "cell_1": cell}
  moved = shuffling._exchange(tree, {"cell_1": ("node_3", "node_1")})
  assert moved["cell_1"] == cell | {"node_1": 3, "node_3": 1}
  assert moved["cell_0"] == cell and moved["stem"] == 9


def test_a_saving_takes_fewer_operations(compile_cache, tmp_path):
  def measure(engine):
    supernet = config.SupernetConfig(engine=engine)
    found = with_method("entrannas", supernet=supernet)
    return cost.step_cost(found, tmp_path)

  every, first = measure("all"), measure("first")
  assert 0 < first["flops"] < every["flops"]
  assert first["step_s"] > 0 and first["peak_bytes"] > 0


def test_a_trajectory_passes_over_epochs_without_an_accuracy(
  compile_cache, tmp_path
):
  given = tiny_selection.get_config(tune_epochs=2)
  found = claims.record(given, tmp_path, retrains=False)
  lines = (tmp_path / "selection" / "metrics.jsonl").read_text().splitlines()
  rows = [row for row in map(json.loads, lines) if row["kind"] == "epoch"]
  accuracies = [row.get("valid_accuracy") for row in rows]
  assert None in accuracies
  assert found["trajectory"] == [a for a in accuracies if a is not None]
