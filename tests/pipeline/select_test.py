"""PT as a stage: what it decides, resumes to, and leaves alone."""

import collections
import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from jnas import config as configs
from jnas import genotype as genotypes
from jnas.pipeline import (
  bench_select,
  evaluate,
  folder,
  problem,
  scoring,
  search,
  select,
  tuning,
)
from jnas.training import metrics
from tests.pipeline import tiny, tiny_selection

SELDOM, ALWAYS = 3600.0, 1e-9


def select_fresh(config, workdir):
  search.run(config, workdir)
  return select.run(config, workdir)


def records_of(workdir, kind):
  file = metrics.MetricsFile(workdir / "selection" / "metrics.jsonl")
  return [record for record in file.read() if record["kind"] == kind]


@pytest.fixture
def searched(selected, tmp_path):
  """The same search, with nothing selected yet."""
  workdir = tmp_path / "run"
  ignored = shutil.ignore_patterns("selection")
  shutil.copytree(selected, workdir, ignore=ignored)
  (workdir / "genotype.json").unlink()
  return workdir


def test_every_edge_and_node_is_decided_once_in_rounds_of_both_cells(selected):
  decisions = records_of(selected, "decision")
  assert [d["decision"] for d in decisions] == list(range(12))
  assert [d["epoch"] for d in decisions] == [n // 2 for n in range(12)]
  assert {d["cell_type"] for d in decisions[::2]} == {"normal"}
  assert {d["cell_type"] for d in decisions[1::2]} == {"reduce"}
  edges = [list(edge) for edge in tiny_selection.SPACE.edges]
  for first in (0, 1):
    ops, (nodes,) = decisions[first:10:2], decisions[first + 10 :: 2]
    assert sorted(d["edge"] for d in ops) == sorted(edges)
    assert nodes["node"] == 3
    assert len(nodes["kept"]) == 2 and len(nodes["removed"]) == 1
  # The order is drawn: it is not that of the edges.
  assert [d["edge"] for d in decisions[:10:2]] != edges
  assert len(records_of(selected, "epoch")) == 6


def test_decisions_follow_from_the_trials(selected):
  trials = collections.defaultdict(list)
  for record in records_of(selected, "trial"):
    trials[record["decision"]].append(record)
  tried = 0
  for decision in records_of(selected, "decision"):
    made = trials[decision["decision"]]
    if "op" in decision:
      if made:
        # The least accuracy without it; min takes the first of equal ones.
        least = min(made, key=lambda trial: trial["accuracy"])
        assert decision["op"] == least["op"]
      names = tiny_selection.SPACE.ops[decision["cell_type"]][
        [list(edge) for edge in tiny_selection.SPACE.edges].index(
          decision["edge"]
        )
      ]
      assert [trial["op"] for trial in made] == (
        list(names) if len(names) > 1 else []
      )
    else:
      least = sorted(made, key=lambda trial: trial["accuracy"])[:2]
      assert decision["kept"] == sorted(trial["edge"][0] for trial in least)
    tried += len(made)
  # 5 edges of two operations and a node of 3 edges, 2 edges and the node.
  assert tried == 5 * 2 + 3 + 2 * 2 + 3


def test_the_genotype_is_what_was_decided(selected):
  summary = records_of(selected, "summary")[0]
  found = genotypes.load(selected / "genotype.json")
  assert genotypes.to_dict(found) == summary["genotype"]
  wanted = {"normal": [set(), set()], "reduce": [set(), set()]}
  for decision in records_of(selected, "decision"):
    cell = wanted[decision["cell_type"]]
    if "op" in decision:
      source, target = decision["edge"]
      if decision["op"] != "none":
        cell[target - 2].add((decision["op"], source))
    else:
      node = decision["node"] - 2
      cell[node] = {c for c in cell[node] if c[1] in decision["kept"]}
  for name, cell in found.cells().items():
    assert [set(node) for node in cell.nodes] == wanted[name]
  provenance = genotypes.read_provenance(selected / "genotype.json")
  assert provenance["step"] == records_of(selected, "epoch")[-1]["step"]
  # The search's own derivation is kept apart.
  assert genotypes.load(selected / "search" / "genotype.json")


@pytest.mark.parametrize(
  ("seconds", "events"),
  [
    # Before there is any checkpoint; a save and a record cut short.
    (
      SELDOM,
      ["selection: tear header", "select: tear 3", "selection: tear trial 0"],
    ),
    # Between the trials of an edge, before and after a decision's record.
    (
      SELDOM,
      [
        "select: saved 3",
        "selection: write decision 0",
        "selection: wrote decision 1",
      ],
    ),
    # Within an epoch, back to its beginning; at its end.
    (
      SELDOM,
      ["select: step 10", "selection: tear epoch 0", "select: saved 22"],
    ),
    # Within a trial and within an epoch, on from there.
    (ALWAYS, ["select: saved 1", "select: saved 10", "select: saved 25"]),
    # In the topology phase, and after everything.
    (
      SELDOM,
      [
        "select: step 72",
        "selection: wrote trial 5",
        "selection: tear decision 5",
        "write genotype",
        "selection: tear summary",
      ],
    ),
  ],
)
def test_a_killed_selection_ends_as_if_it_had_not_been(
  selected, searched, tmp_path, run_killed, seconds, events
):
  config = tiny_selection.get_config(checkpoint_seconds=seconds)
  if seconds == ALWAYS:
    searched = tmp_path / "always"
    search.run(config, searched)
  run_killed(lambda: select.run(config, searched), *events)
  stages = ("search", "selection")
  assert tiny.results(searched, *stages) == tiny.results(selected, *stages)


def test_a_finished_selection_is_returned_as_it_is(selected, on_event):
  events = []
  on_event(events.append)
  found = select.run(tiny_selection.get_config(), selected)
  assert found.genotype == genotypes.load(selected / "genotype.json")
  assert found.summary == records_of(selected, "summary")[0]
  assert events == []


def test_evaluation_refuses_a_search_without_its_selection(searched):
  with pytest.raises(FileNotFoundError, match="run `jnas select` first"):
    evaluate.run(tiny_selection.get_config(), searched)


def test_selection_needs_a_finished_search(tmp_path):
  with pytest.raises(FileNotFoundError, match="run `jnas search` first"):
    select.run(tiny_selection.get_config(), tmp_path)
  assert not any(tmp_path.iterdir())


def test_without_a_selection_the_search_has_the_last_word(tmp_path):
  config = tiny_selection.get_config(name="none")
  found = search.run(config, tmp_path).genotype
  assert genotypes.load(tmp_path / "genotype.json") == found
  with pytest.raises(ValueError, match="selection.name is 'none'"):
    select.run(config, tmp_path)


def test_each_program_is_compiled_once(searched, compilations, on_event):
  on_event(compilations.note)
  select.run(tiny_selection.get_config(), searched)
  counts = collections.Counter(compilations.names)
  # Trials of one cell type share what the other's do not change.
  assert counts["trials"] == 2, counts
  for step in ("arch_step", "weight_step", "evaluate", "believe"):
    assert counts[step] == 1, counts
  # The first trials of a node meet shapes of their own; after them, nothing.
  assert compilations.after("selection: wrote decision 5") == []


def test_trials_leave_the_supernet_untouched(searched, monkeypatch):
  """H7: weights, architecture and batch statistics, bit for bit."""
  checked = []

  def untouched(scorer, journal, state, *args):
    before = _bits(state.search)
    after = score(scorer, journal, state, *args)
    checked.append(_bits(after.search) == before)
    return after

  score = scoring.score
  monkeypatch.setattr(scoring, "score", untouched)
  select.run(tiny_selection.get_config(), searched)
  assert checked == [True] * (5 + 1 + 2 + 1)


def _bits(tree):
  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def test_several_trials_a_call_decide_the_same(selected, tmp_path):
  config = tiny_selection.get_config(trials_per_call=2)
  select_fresh(config, tmp_path)
  got, wanted = (records_of(path, "trial") for path in (tmp_path, selected))
  assert len(got) == len(wanted)
  names = ("decision", "cell_type", "edge", "op", "accuracy")
  for one, other in zip(got, wanted, strict=True):
    assert [one.get(n) for n in names] == [other.get(n) for n in names]
    np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-5)


def test_iterative_topology_removes_one_edge_at_a_time(tmp_path):
  config = tiny_selection.get_config(topology="iterative", criterion="loss")
  select_fresh(config, tmp_path)
  trials = records_of(tmp_path, "trial")
  for decision in records_of(tmp_path, "decision")[10:]:
    made = [t for t in trials if t["decision"] == decision["decision"]]
    # The last of those whose removal leaves the least loss.
    weakest = min(reversed(made), key=lambda trial: trial["loss"])
    assert decision["removed"] == [weakest["edge"][0]]
    assert len(made) == 3


def test_magnitude_chooses_what_the_architecture_prefers(tmp_path):
  config = tiny_selection.get_config(name="magnitude", none_candidate=False)
  select_fresh(config, tmp_path)
  assert records_of(tmp_path, "trial") == []
  decisions = records_of(tmp_path, "decision")
  assert len(decisions) == 12
  for decision in decisions[:10]:
    assert decision["op"] == decision["largest_op"] != "none"
  assert len(records_of(tmp_path, "epoch")) == 6


def test_the_best_of_sampled_cells_wins(tmp_path):
  config = tiny_selection.get_config(
    method="random_sharing", name="sampled", num_samples=5
  )
  found = select_fresh(config, tmp_path)
  trials = records_of(tmp_path, "trial")
  assert [trial["sample"] for trial in trials] == list(range(5))
  best = max(trials, key=lambda trial: trial["accuracy"])
  assert found.summary["child_accuracy"] == best["accuracy"]
  assert found.summary["sample"] == best["sample"]


def test_sampling_killed_between_cells_goes_on(tmp_path, run_killed):
  config = tiny_selection.get_config(
    method="random_sharing", name="sampled", num_samples=3
  )
  for name in ("whole", "killed"):
    search.run(config, tmp_path / name)
  select.run(config, tmp_path / "whole")
  run_killed(
    lambda: select.run(config, tmp_path / "killed"),
    *("select: saved 3", "select: step 5", "selection: wrote trial"),
  )
  whole, killed = (
    tiny.results(tmp_path / name, "selection") for name in ("whole", "killed")
  )
  assert killed == whole


@pytest.mark.parametrize(
  ("method", "scheme"),
  [
    ("sdarts_rs", "default"),
    ("snas", "default"),
    ("pc_darts", "default"),
    ("entrannas", "second_order"),
    ("darts", "frozen"),
    ("gdas", "bilevel"),
  ],
)
def test_any_method_with_edges_can_be_selected_from(tmp_path, method, scheme):
  config = tiny_selection.get_config(method=method, scheme=scheme)
  found = select_fresh(config, tmp_path)
  assert len(records_of(tmp_path, "decision")) == 12
  assert found.summary["decisions"] == 12
  assert found.summary["tuning_steps"] == 6 * tiny.STEPS_PER_EPOCH


def test_without_tuning_there_are_only_decisions(tmp_path):
  config = tiny_selection.get_config(tune_epochs=0)
  found = select_fresh(config, tmp_path)
  assert records_of(tmp_path, "epoch") == []
  assert found.summary["tuning_steps"] == 0
  assert found.summary["decisions"] == 12


def test_the_rate_of_tuning_is_a_cosine_from_a_tenth(selected, tmp_path):
  rates = [record["weights_lr"] for record in records_of(selected, "epoch")]
  # 0.0025 to 0.001 in 6 epochs; epoch 3 is half way.
  np.testing.assert_allclose([rates[0], rates[3]], [0.0025, 0.00175], rtol=1e-6)
  config = tiny_selection.get_config(lr_end_share=1.0)
  select_fresh(config, tmp_path)
  rates = [record["weights_lr"] for record in records_of(tmp_path, "epoch")]
  np.testing.assert_allclose(rates, 0.0025, rtol=1e-6)


def test_the_config_of_a_selection_is_in_its_folder(selected):
  written = json.loads((selected / "config.json").read_text())["config"]
  assert written["selection"]["name"] == "perturbation"


def test_sgas_is_given_its_operations_by_perturbation(
  tmp_path, run_killed, monkeypatch
):
  """SPEC 7, U11: an edge a cell type after each epoch, at two epochs."""
  config = tiny_selection.get_config(method="sgas")
  config = dataclasses.replace(
    config,
    method=dataclasses.replace(
      config.method, settings={"first_decision": 0, "decide_every": 1}
    ),
    search=dataclasses.replace(config.search, epochs=2),
  )
  scored = []
  measure = scoring.measure

  def measured(*args):
    scored.append(measure(*args))
    return scored[-1]

  monkeypatch.setattr(scoring, "measure", measured)
  search.run(config, tmp_path / "whole")
  assert [len(scores) for scores in scored[::2]] == [2, 2]  # normal cell
  assert len(scored) == 4
  restored = tuning.searched(
    problem.prepare(config),
    problem.load_data(problem.prepare(config)),
    folder.open_run(config, tmp_path / "whole"),
  )
  made = restored.memory["normal"]["decisions"]
  chosen = sorted(
    int(op) for op in np.asarray(made.op_e)[np.asarray(made.decided_e)]
  )
  assert chosen == sorted(int(scores[:, 0].argmin()) for scores in scored[::2])
  # The search's genotype is the result; there is nothing left to select.
  assert (tmp_path / "whole" / "genotype.json").exists()
  with pytest.raises(ValueError, match="selects while it searches"):
    select.run(config, tmp_path / "whole")
  run_killed(
    lambda: search.run(config, tmp_path / "killed"),
    *("search: step 2", "search: tear epoch 0", "search: save 6"),
  )
  whole, killed = (
    tiny.results(tmp_path / name, "search") for name in ("whole", "killed")
  )
  assert killed == whole


def test_the_benchmark_counts_all_trials(compile_cache):
  found = bench_select.run(tiny_selection.get_config(), repeats=1)
  assert found["trials"] == 5 * 2 + 3 + 2 * 2 + 3
  assert found["ratio"] == pytest.approx(found["trial_s"] / found["valid_s"])
  for share in ("0%", "50%", "100%"):
    assert found[f"trial_normal_{share}_s"] > 0


def test_a_cell_that_keeps_every_edge_has_no_choice_of_none():
  config = configs.load("pt_nasbench201")
  config = dataclasses.replace(
    config,
    selection=dataclasses.replace(config.selection, none_edge="first_other"),
  )
  with pytest.raises(ValueError, match="'first_other' in space 'nasbench201'"):
    select.check(problem.prepare(config))
