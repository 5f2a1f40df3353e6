"""What a search writes down of an epoch is what it says."""

import dataclasses

import jax
import numpy as np
import pytest

from jnas import config
from jnas.data import placing
from jnas.pipeline import folder, problem, programs, search, stage, supernets
from jnas.training import keys, metrics, steps
from tests.pipeline import tiny


@pytest.mark.parametrize("name", ["unas", "darts"])
def test_validation_is_of_what_the_weights_were_trained_under(
  compile_cache, tmp_path, name
):
  given = tiny.get_config(random_baselines=0)
  given = dataclasses.replace(given, method=config.MethodConfig(name=name))
  search.run(given, tmp_path)
  records = metrics.MetricsFile(tmp_path / "search" / "metrics.jsonl").read()
  written = [row for row in records if row["kind"] == "epoch"][-1]

  found = problem.prepare(given)
  dataset = problem.load_data(found)
  parts = programs.make(found, dataset)
  state, _, valid = stage.place(
    supernets.final(found, dataset, folder.open_run(given, tmp_path)),
    *search.split(found, dataset),
    batch_size=given.search.batch_size,
  )
  evaluate = jax.jit(steps.make_search_eval(parts))
  context = parts.context(state.memory, state.step - 1)
  key = keys.key_for(
    keys.base(given.seed, keys.Stage.SEARCH),
    keys.Purpose.VALID_SAMPLE,
    int(state.step),
  )
  order = np.arange(len(valid.data.labels))
  losses = []
  for index, start in enumerate(range(0, len(order), valid.batch_size)):
    if name == "unas":
      weights = parts.method.sample(
        parts.settings, state.arch, jax.random.fold_in(key, index), context
      )
      # One pair of input and operation for each of the two of a node.
      for cell in weights.values():
        assert float(cell.sum()) == 2 * found.space.num_nodes
        assert set(np.unique(cell)) <= {0.0, 1.0, 2.0}
    else:
      weights = parts.method.probs(parts.settings, state.arch, context)
    batch = next(valid.batches(order[start : start + valid.batch_size][None]))
    mask = placing.put(
      np.ones(len(batch["labels"]), np.float32), valid.sharding
    )
    sums = evaluate(state.params, state.batch_stats, weights, None, batch, mask)
    losses.append(sums)
  total = jax.tree.map(lambda *each: sum(each), *losses)
  assert metrics.mean(total).loss == pytest.approx(
    written["valid_loss"], rel=1e-5
  )
