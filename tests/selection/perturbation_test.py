"""PT's order of decisions, its candidates, and what they add up to."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from jnas.functional import decisions as rules
from jnas.methods import held
from jnas.selection import magnitude, perturbation
from jnas.spaces import SPACES

S3 = SPACES["s3"]


def test_the_schedule_of_the_darts_space(shared):
  """H5."""
  oracle = json.loads((shared / "oracles" / "pt_decisions.json").read_text())
  oracle = oracle["schedule"]["darts_space"]
  tasks, num_epochs = perturbation.tasks(
    SPACES["darts_no_none"], tune_epochs=oracle["interval"]
  )
  assert num_epochs == oracle["total_epochs"]
  for phase, name in (
    ("operation", "project_op_epochs"),
    ("topology", "project_edge_epochs"),
  ):
    made = [task for task in tasks if task.phase == phase]
    assert [task.epoch for task in made[::2]] == oracle[name]
    assert [task.epoch for task in made[1::2]] == oracle[name]
    assert {task.cell_type for task in made[::2]} == {"normal"}
    assert {task.cell_type for task in made[1::2]} == {"reduce"}


def test_the_schedule_of_nasbench201(shared):
  """H5: one cell type, six edges, no topology."""
  oracle = json.loads((shared / "oracles" / "pt_decisions.json").read_text())
  oracle = oracle["schedule"]["nasbench201"]
  tasks, num_epochs = perturbation.tasks(SPACES["nasbench201"], tune_epochs=5)
  assert num_epochs == oracle["total_epochs"]
  assert [task.epoch for task in tasks] == oracle["project_op_epochs"]
  assert {(task.cell_type, task.phase) for task in tasks} == {
    ("normal", "operation")
  }


def test_without_tuning_all_is_decided_at_once():
  tasks, num_epochs = perturbation.tasks(S3, tune_epochs=0)
  assert num_epochs == 0
  assert len(tasks) == 2 * (14 + 3)
  assert {task.epoch for task in tasks} == {0}


def test_nodes_with_more_edges_than_they_keep_are_open():
  assert perturbation.open_nodes(S3) == (1, 2, 3)
  assert perturbation.edges_into(S3, 2) == (5, 6, 7, 8)
  assert perturbation.open_nodes(SPACES["nasbench201"]) == ()


@pytest.mark.parametrize(
  ("none_candidate", "wanted"), [(True, (0, 1, 2)), (False, (1, 2))]
)
def test_none_is_a_candidate_where_it_is_listed(none_candidate, wanted):
  found = perturbation.op_candidates(
    S3, "normal", 0, none_candidate=none_candidate
  )
  assert found == wanted


def test_padding_is_no_candidate():
  found = perturbation.op_candidates(
    SPACES["s1"], "normal", 3, none_candidate=True
  )
  assert found == (0, 1)


def test_the_strongest_candidate_is_the_first_of_equal_ones():
  weights = jnp.array([0.6, 0.2, 0.2])
  assert perturbation.strongest_op(weights, (0, 1, 2)) == 0
  assert perturbation.strongest_op(weights, (1, 2)) == 1


def test_strongest_edges_are_those_that_magnitude_keeps():
  weights = {
    name: jnp.asarray(np.random.default_rng(seed).dirichlet(np.ones(3), 14))
    for seed, name in enumerate(S3.cell_types)
  }
  genotype = magnitude.derive(weights, S3)
  for name, cell in genotype.cells().items():
    for node in (1, 2, 3):
      kept = perturbation.strongest_edges(weights[name], S3, name, node)
      sources = sorted(source for _, source in cell.nodes[node])
      assert [S3.edges[edge][0] for edge in kept] == sources


def all_decided(op, *gone):
  """Every edge given an operation, some edges of each cell removed."""
  made = {}
  for name, decisions in held.undecided(S3).items():
    for edge in range(14):
      decisions = rules.project(decisions, edge, op)
    gone_e = decisions.discarded_e.at[jnp.asarray(gone, int)].set(True)
    made[name] = decisions._replace(discarded_e=gone_e)
  return made


def test_a_genotype_holds_the_edges_that_are_left():
  # Edges 2-4 enter node 3, 5-8 node 4, 9-13 node 5.
  made = all_decided(2, 3, 5, 6, 9, 11, 13)
  made["reduce"] = rules.project(made["reduce"], 0, 0)  # to none
  found = perturbation.genotype(made, S3)
  conv = "sep_conv_3x3"
  rest = (
    ((conv, 0), (conv, 2)),
    ((conv, 2), (conv, 3)),
    ((conv, 1), (conv, 3)),
  )
  assert found.normal.nodes == (((conv, 0), (conv, 1)), *rest)
  assert found.reduce.nodes == (((conv, 1),), *rest)


def test_a_cell_of_nasbench201_names_every_edge():
  space = SPACES["nasbench201"]
  decisions = held.undecided(space)["normal"]
  for edge, op in enumerate((3, 0, 1, 4, 2, 3)):
    decisions = rules.project(decisions, edge, op)
  found = perturbation.genotype({"normal": decisions}, space)
  names = [[op for op, _ in node] for node in found.normal.nodes]
  assert names == [
    ["nor_conv_3x3"],
    ["none", "skip_connect"],
    ["avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3"],
  ]


def test_an_edge_given_none_is_removed_or_its_first_other_operation():
  """SPEC 6, D14, in S3: none, skip_connect, sep_conv_3x3 on every edge."""
  # Edges 0 and 1 enter node 2; edge 2 enters node 3 and is discarded.
  made = all_decided(2, 2, 5, 6, 9, 10, 11)
  for edge in (0, 2):
    made["normal"] = rules.project(made["normal"], edge, 0)  # to none
  removed = perturbation.genotype(made, S3)
  read = perturbation.genotype(made, S3, none_edge="first_other")
  assert removed.normal.nodes[0] == (("sep_conv_3x3", 1),)
  assert read.normal.nodes[0] == (("skip_connect", 0), ("sep_conv_3x3", 1))
  assert read.normal.nodes[1] == (("sep_conv_3x3", 1), ("sep_conv_3x3", 2))
  assert read.normal.nodes[1:] == removed.normal.nodes[1:]
  assert read.reduce == removed.reduce
