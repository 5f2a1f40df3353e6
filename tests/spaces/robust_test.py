"""SPEC 4.7, I4: the operation lists of S1 to S4."""

import re

import pytest

from jnas.spaces import SPACES, darts

CELL_TYPES = ("normal", "reduce")


@pytest.fixture(scope="module")
def section(shared):
  """SPEC 2.4, as text."""
  text = (shared / "SPEC.md").read_text()
  start = text.index("### 2.4 ")
  return text[start : text.index("### 2.5 ", start)]


def test_s1_is_the_table_of_the_specification(section):
  rows = re.findall(
    r"^\| (\d+) \((\d)→(\d)\) \| ([\w, ]+) \| ([\w, ]+) \|$",
    section,
    flags=re.MULTILINE,
  )
  space = SPACES["s1"]
  assert [int(edge) for edge, *_ in rows] == list(range(14))
  for edge, source, target, *lists in rows:
    assert space.edges[int(edge)] == (int(source), int(target))
    for cell_type, names in zip(CELL_TYPES, lists, strict=True):
      expected = tuple(name.strip() for name in names.split(","))
      assert space.ops[cell_type][int(edge)] == expected, (cell_type, edge)


@pytest.mark.parametrize("name", ["s2", "s3", "s4"])
def test_s2_to_s4_have_the_list_of_the_specification_on_every_edge(
  section, name
):
  (found,) = re.findall(
    rf"^\* \*\*{name.upper()}\*\*: every edge: ([\w, ]+)\.",
    section,
    flags=re.MULTILINE,
  )
  names = tuple(op.strip() for op in found.split(","))
  for cell_type in CELL_TYPES:
    assert SPACES[name].ops[cell_type] == (names,) * 14


def test_the_spaces_are_darts_cells_whose_pools_are_normalized():
  for name in ("s1", "s2", "s3", "s4"):
    space, reference = SPACES[name], SPACES["darts"]
    assert space.edges == reference.edges
    assert space.concat == reference.concat
    assert space.edges_per_node == 2
    assert space.pool_norm


def test_s1_has_two_operations_on_every_edge_and_strided_pools_at_the_inputs():
  space = SPACES["s1"]
  for cell_type in CELL_TYPES:
    assert all(len(names) == 2 for names in space.ops[cell_type])
  # Of the reduction cell, the edges from the two inputs pool, no other does.
  for (source, _), names in zip(space.edges, space.ops["reduce"], strict=True):
    assert ("max_pool_3x3" in names) == (source < 2)
    assert ("skip_connect" in names) == (source >= 2)


def test_the_lists_of_the_darts_space_are_those_of_the_specification(shared):
  text = (shared / "SPEC.md").read_text()
  (eight,) = re.findall(r"^\* DARTS, 8: ([\w, ]+)\.", text, re.MULTILINE)
  assert ", ".join(darts.DARTS_OPS) == eight
  (seven,) = re.findall(r"^\* UNAS CIFAR, 7: ([\w, ]+) \(", text, re.MULTILINE)
  assert ", ".join(darts.UNAS_CIFAR_OPS) == seven
  for name, ops, pool_norm in (
    ("darts", darts.DARTS_OPS, True),
    ("darts_no_none", darts.DARTS_OPS[1:], True),
    # UNAS has no batch norm after the pools of its supernet (D19).
    ("unas_cifar", darts.UNAS_CIFAR_OPS, False),
    ("unas_imagenet", darts.UNAS_CIFAR_OPS[:5], False),
  ):
    space = SPACES[name]
    assert space.pool_norm == pool_norm
    for cell_type in CELL_TYPES:
      assert space.ops[cell_type] == (ops,) * 14
