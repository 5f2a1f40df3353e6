"""Genotypes: every written form, there and back; every way to be wrong."""

import json
import os
import pathlib

import hypothesis
import pytest
from hypothesis import strategies as st

from jnas import genotype as genotype_lib
from jnas.genotype import Cell, Genotype

DARTS_OPS = (
  "none",
  "max_pool_3x3",
  "avg_pool_3x3",
  "skip_connect",
  "sep_conv_3x3",
  "sep_conv_5x5",
  "dil_conv_3x3",
  "dil_conv_5x5",
)
PAIRS = (
  "[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('skip_connect', 0),"
  " ('dil_conv_5x5', 2)]"
)
TWO_NODES = Cell(
  (
    (("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
    (("skip_connect", 0), ("dil_conv_5x5", 2)),
  ),
  (2, 3),
)


def write_cell(nodes, concat=(2, 3), **others):
  """A genotype's JSON text with the given normal cell."""
  return json.dumps(
    {
      "format": "jnas.genotype/1",
      "normal": {"nodes": nodes, "concat": list(concat), **others},
      "reduce": None,
    }
  )


@st.composite
def cells(draw, num_inputs=None, pairs=None):
  """Any well-formed cell; `pairs` connections a node where given."""
  inputs = num_inputs or draw(st.integers(1, 3))
  ops = st.sampled_from(DARTS_OPS) | st.text("ab:._'\"\\ (é", min_size=1)
  sizes = st.integers(0, 5) if pairs is None else st.just(pairs)
  nodes = []
  for n in range(draw(st.integers(1, 7))):
    source = st.integers(0, inputs + n - 1)
    size = draw(sizes)
    nodes.append(
      draw(st.lists(st.tuples(ops, source), min_size=size, max_size=size))
    )
  own = list(range(inputs, inputs + len(nodes)))
  concat = draw(st.permutations(own))[: draw(st.integers(1, len(own)))]
  return Cell(tuple(map(tuple, nodes)), tuple(concat), inputs)


# The value --------------------------------------------------------------------


def test_a_cell_is_hashable_and_keeps_tuples_whatever_sequences_made_it():
  cell = Cell(
    [[["sep_conv_3x3", 0], ("sep_conv_3x3", 1)], [("skip_connect", 0)]],
    range(2, 4),
  )
  assert cell.nodes[0] == (("sep_conv_3x3", 0), ("sep_conv_3x3", 1))
  assert cell.concat == (2, 3)
  assert len({cell, cell}) == 1


def test_connections_come_by_target_and_counts_by_operation():
  assert list(TWO_NODES.connections()) == [
    (0, 2, "sep_conv_3x3"),
    (1, 2, "sep_conv_3x3"),
    (0, 3, "skip_connect"),
    (2, 3, "dil_conv_5x5"),
  ]
  assert TWO_NODES.op_counts() == {
    "sep_conv_3x3": 2,
    "skip_connect": 1,
    "dil_conv_5x5": 1,
  }
  assert TWO_NODES.skip_share() == 0.25
  assert TWO_NODES.has_parameters()
  pools = Cell(((("max_pool_3x3", 0), ("skip_connect", 1)),), (2,))
  assert not pools.has_parameters()
  assert Cell(((), ()), (2, 3)).skip_share() == 0


@pytest.mark.parametrize(
  ("nodes", "concat", "connected"),
  [
    ([[("skip_connect", 0)], []], (2, 3), True),
    ([[("skip_connect", 0)], []], (3,), False),
    ([[("none", 0)], [("sep_conv_3x3", 2)]], (3,), False),
    ([[("none", 0), ("sep_conv_3x3", 1)], [("skip_connect", 2)]], (3,), True),
  ],
)
def test_none_and_empty_nodes_carry_nothing_to_the_output(
  nodes, concat, connected
):
  assert Cell(nodes, concat).is_connected() == connected


# JSON -------------------------------------------------------------------------


@hypothesis.given(normal=cells(), reduce=cells() | st.none())
def test_json_gives_back_every_genotype(normal, reduce):
  before = Genotype(normal, reduce, space="darts")
  after = genotype_lib.from_json(genotype_lib.to_json(before))
  assert after == before
  assert after.space == "darts"
  assert genotype_lib.parse(genotype_lib.to_json(before)) == before


def test_json_has_a_line_for_each_node():
  text = genotype_lib.to_json(genotype_lib.parse("DARTS_V2"))
  assert (
    '      [["skip_connect", 0], ["dil_conv_3x3", 2]]\n    ],\n'
    '    "concat": [2, 3, 4, 5]\n'
  ) in text


def test_a_saved_file_holds_genotype_and_provenance(tmp_path):
  path = tmp_path / "genotype.json"
  path.write_text("an older one")
  provenance = {"config_hash": "0123456789ab", "seed": 3, "step": 31}
  genotype_lib.save(path, Genotype(TWO_NODES), provenance)
  assert genotype_lib.load(path) == Genotype(TWO_NODES)
  assert genotype_lib.parse(path) == Genotype(TWO_NODES)
  assert genotype_lib.read_provenance(path) == provenance
  assert os.listdir(tmp_path) == ["genotype.json"]


def test_a_genotype_that_was_read_knows_its_origin_which_is_a_note(tmp_path):
  path = tmp_path / "genotype.json"
  genotype_lib.save(path, Genotype(TWO_NODES), {"seed": 3, "step": 31})
  found = genotype_lib.load(path)
  assert found.origin == {"file": str(path), "seed": 3, "step": 31}
  assert found == Genotype(TWO_NODES) and hash(found) == hash(
    Genotype(TWO_NODES)
  )
  assert genotype_lib.parse("DARTS_V2").origin == {"cell": "DARTS_V2"}
  # It is not written again, unless as the provenance of another file.
  assert "origin" not in genotype_lib.to_json(found)


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
  tmp_path, monkeypatch
):
  path = tmp_path / "genotype.json"
  genotype_lib.save(path, Genotype(TWO_NODES))
  before = path.read_text()

  def fail(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "fsync", fail)
  with pytest.raises(OSError, match="No space left"):
    genotype_lib.save(path, genotype_lib.parse("DARTS_V1"))
  assert path.read_text() == before
  assert os.listdir(tmp_path) == ["genotype.json"]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (
      write_cell([[["skip_connect", 0]], [["skip_connect", 3]]]),
      r"normal\.nodes\[1\]\[0\]: node 3 takes node 3, which makes a cycle",
    ),
    (
      write_cell([[["skip_connect", 0], ["skip_connect", 3]], []]),
      r"normal\.nodes\[0\]\[1\]: node 2 takes node 3, which makes a cycle; it"
      " may take nodes 0 to 1",
    ),
    (
      write_cell([[["skip_connect", 9]], []]),
      r"normal\.nodes\[0\]\[0\]: node 2 takes node 9, which does not exist",
    ),
    (write_cell([[["skip_connect", -1]], []]), "node -1, which does not exist"),
    (write_cell([[["skip_connect", 0.0]], []]), "whole number, found 0.0"),
    (write_cell([[["skip_connect", True]], []]), "whole number, found True"),
    (write_cell([[["skip_connect", "0"]], []]), "whole number, found '0'"),
    (write_cell([[["skip_connect"]], []]), r"\(operation, source\), found"),
    (write_cell([["skip_connect", 0], []]), r"nodes\[0\]\[0\]: expected \(op"),
    (write_cell([[[0, "skip_connect"]], []]), "operation's name, found 0"),
    (
      write_cell([None, []]),
      r"normal\.nodes\[0\]: expected a list, found None",
    ),
    (write_cell("ab"), r"normal\.nodes: expected a list, found 'ab'"),
    (write_cell([[], []], [2, 4]), r"normal\.concat: node 4 is not one of the"),
    (write_cell([[], []], [1]), "concat: node 1 is not .* 2 to 3"),
    (write_cell([[], []], [2, 2]), r"concat: a node occurs twice in \[2, 2\]"),
    (write_cell([[], []], []), "concat: no nodes"),
    (write_cell([[], []], num_inputs=0), "normal.num_inputs: 0 is below 1"),
    (write_cell([[], []], extra=1), "normal: unknown key 'extra'; known are"),
    ("{", r"not JSON: .*line 1 column 2"),
    ("{}", r"genotype: 'format' is missing"),
    ('{"format": "jnas.genotype/1"}', "'normal' is missing"),
    (
      '{"format": "jnas.genotype/2", "normal": {}}',
      "format: 'jnas.genotype/2' is not known; this jnas reads 'jnas.gen",
    ),
    (
      '{"format": "jnas.genotype/1", "normal": {"concat": [2]}}',
      "normal: 'nodes' is missing",
    ),
    (
      '{"format": "jnas.genotype/1", "normal": [1]}',
      r"normal: expected an object, found \[1\]",
    ),
    (
      write_cell([[], []]).replace("null", "3"),
      "reduce: expected an object, found 3",
    ),
    (write_cell([[], []])[:-1] + ', "space": 3}', "space: expected text"),
    (write_cell([[], []])[:-1] + ', "provenance": 3}', "provenance: expected"),
    ('{"normal":' * 100_000, "nested too deeply"),
  ],
)
def test_wrong_json_is_one_clear_line(text, message, tmp_path):
  with pytest.raises(ValueError, match=message) as caught:
    genotype_lib.parse(text)
  assert "\n" not in str(caught.value)
  path = tmp_path / "wrong.json"
  path.write_text(text)
  with pytest.raises(ValueError, match=message) as caught:
    genotype_lib.load(path)
  assert str(caught.value).startswith(f"{path}: ")


def test_an_unknown_operation_is_named_with_its_place_and_the_nearest_known():
  genotype = Genotype(Cell([[("sep_conv_3x3", 0), ("sep_cnv_5x5", 1)]], [2]))
  with pytest.raises(
    ValueError,
    match=r"normal\.nodes\[0\]\[1\]: unknown operation 'sep_cnv_5x5'; did you"
    r" mean 'sep_conv_5x5'\? known are avg_pool_3x3, ",
  ):
    genotype_lib.validate(genotype, known_ops=DARTS_OPS)


@pytest.mark.parametrize("name", genotype_lib.published())
def test_validate_lets_known_and_dotted_names_pass(name):
  extra = (*DARTS_OPS, "sep_conv_7x7", "conv_7x1_1x7")
  genotype_lib.validate(genotype_lib.parse(name), known_ops=extra)
  dotted = Genotype(Cell(((("my_lab.ops:Involution", 0),),), (2,)))
  genotype_lib.validate(dotted, known_ops=DARTS_OPS)


# The text form of DARTS -------------------------------------------------------


@hypothesis.given(
  normal=cells(num_inputs=2, pairs=2), reduce=cells(num_inputs=2, pairs=2)
)
def test_darts_text_gives_back_every_cell_with_two_pairs_a_node(normal, reduce):
  genotype = Genotype(normal, reduce)
  text = genotype_lib.to_darts(genotype)
  assert genotype_lib.from_darts(text) == genotype
  assert genotype_lib.parse(f"BEST = {text}\n") == genotype


def test_darts_text_is_written_as_the_authors_print_it():
  text = genotype_lib.to_darts(Genotype(TWO_NODES, TWO_NODES))
  assert text == (
    f"Genotype(normal={PAIRS}, normal_concat=range(2, 4),"
    f" reduce={PAIRS}, reduce_concat=range(2, 4))"
  )
  amoeba = genotype_lib.to_darts(genotype_lib.parse("AmoebaNet"))
  assert "normal_concat=range(4, 7)" in amoeba
  assert "reduce_concat=[3, 4, 6])" in amoeba


@pytest.mark.parametrize(
  "text",
  [
    "Genotype(normal={0}, normal_concat=range(2, 4), reduce={0},"
    " reduce_concat=range(2, 4))",
    "MY_NET = Genotype(normal={0}, normal_concat=[2, 3], reduce={0},"
    " reduce_concat=(2, 3))",
    "\n\nBEST=Genotype(\n  normal = {0},\n"
    "  normal_concat = list(range(2, 4)),\n"
    "  reduce = {0},  # don't (yet\n  reduce_concat = [2, 3],\n)\n",
    "genotypes.Genotype(reduce={0}, reduce_concat=[2, 3], normal={0},"
    " normal_concat=[2, 3])",
    "Genotype({0}, range(2, 4), {0}, range(2, 4))",
    "2018-11-04 12:00:01,123 genotype = Genotype(normal={0},"
    " normal_concat=range(2, 4), reduce={0}, reduce_concat=range(2, 4))\n"
    "epoch 7 of (50",
  ],
)
def test_darts_text_is_read_as_found_in_the_wild(text, tmp_path):
  expected = Genotype(TWO_NODES, TWO_NODES)
  for pairs in (
    PAIRS,
    PAIRS.replace("'", '"'),
    PAIRS.replace("), ", "),\n    "),
  ):
    assert genotype_lib.parse(text.format(pairs)) == expected
  path = tmp_path / "genotype.txt"
  path.write_text(text.format(PAIRS))
  assert genotype_lib.parse(str(path)) == expected


def test_a_list_of_all_edges_is_read_as_snas_means_it():
  pairs = [
    [("sep_conv_3x3", 0), ("skip_connect", 1)],
    [("none", 0), ("max_pool_3x3", 2), ("skip_connect", 1)],
    [("none", 0), ("none", 1), ("none", 3), ("none", 2)],
    [("dil_conv_5x5", i) for i in range(5)],
  ]
  flat = [pair for node in pairs for pair in node]
  genotype = genotype_lib.parse(
    f"Genotype(normal={flat}, normal_concat=range(2, 6), reduce={flat},"
    " reduce_concat=range(2, 6))"
  )
  assert genotype.normal.nodes == (
    (("sep_conv_3x3", 0), ("skip_connect", 1)),
    (("max_pool_3x3", 2), ("skip_connect", 1)),
    (),
    tuple(("dil_conv_5x5", i) for i in range(5)),
  )
  assert genotype.reduce == genotype.normal


def test_seven_nodes_that_would_read_as_four_are_refused_as_darts_text():
  sources = [0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4]
  nodes = tuple(
    tuple(("skip_connect", i) for i in sources[2 * n : 2 * n + 2])
    for n in range(7)
  )
  cell = Cell(nodes, (2, 3, 4, 5))
  with pytest.raises(ValueError, match="list of all edges"):
    genotype_lib.to_darts(Genotype(cell, cell))


@pytest.mark.parametrize(
  ("genotype", "message"),
  [
    (Genotype(TWO_NODES), "needs a reduction cell"),
    (
      Genotype(TWO_NODES, Cell([[("none", 0)], []], [2])),
      r"reduce\.nodes\[0\]: 1 connections, the DARTS form has exactly 2",
    ),
    (
      Genotype(Cell([[("none", 0)] * 2], [1], 1), TWO_NODES),
      "normal: 1 cell inputs",
    ),
  ],
)
def test_what_darts_text_cannot_hold_is_refused(genotype, message):
  with pytest.raises(ValueError, match=message):
    genotype_lib.to_darts(genotype)


@pytest.mark.parametrize(
  ("old", "new", "message"),
  [
    ("('dil_conv_5x5', 2)", "", r"normal\.nodes: 3 pairs; .* two for each"),
    ("_5x5', 2)", "_5x5', 3)", r"normal\.nodes\[1\]\[1\]: .* makes a cycle"),
    ("_5x5', 2)", "_5x5', -2)", "node -2, which does not exist"),
    ("_5x5', 2)", "_5x5', x)", "normal: .* neither a list of literals"),
    ("_5x5', 2)", "_5x5')", r"normal\[3\]: expected \(operation, source\)"),
    ("range(2, 4)", "range(2, 5)", r"normal\.concat: node 4 is not one of"),
    ("range(2, 4)", "[2, 2]", "occurs twice"),
    ("range(2, 4)", "range(0, 10**9)", "neither a list of literals"),
    ("range(2, 4)", "range(2, 99999999)", "has 99999997 nodes"),
    ("range(2, 4)", "range(2, 'a')", r"normal_concat: range\(2, 'a'\): "),
    ("range(2, 4)", "__import__('os').getcwd()", "neither a list of literals"),
    ("range(2, 4)", "7", "normal_concat: expected a list, found 7"),
    ("normal_concat=range(2, 4), ", "", "'normal_concat' is missing"),
    ("normal_concat", "normal_konkat", "unexpected argument 'normal_konkat'"),
    ("reduce_concat=range(2, 4))", "", "not a genotype in the DARTS form"),
    ("Genotype(", "Genotype(Genotype(", "expected one 'Genotype"),
  ],
)
def test_wrong_darts_text_is_one_clear_line(old, new, message):
  text = (
    f"Genotype(normal={PAIRS}, normal_concat=range(2, 4), reduce={PAIRS},"
    " reduce_concat=range(2, 4))"
  )
  with pytest.raises(ValueError, match=message) as caught:
    genotype_lib.parse(text.replace(old, new, 1))
  assert "\n" not in str(caught.value)


# NAS-Bench-201 ----------------------------------------------------------------


def test_nasbench201_strings_indices_and_genotypes_agree_with_the_oracle(
  shared,
):
  oracle = json.loads(
    (shared / "oracles" / "nasbench201_strings.json").read_text()
  )
  assert list(genotype_lib.NASBENCH201_OPS) == oracle["ops"]
  for example in oracle["examples"]:
    genotype = genotype_lib.from_nasbench201(example["string"])
    ops = [oracle["ops"][k] for k in example["op_indices"]]
    edges = oracle["edges_target_source"]
    assert list(genotype.normal.connections()) == [
      (source, target, op)
      for (target, source), op in zip(edges, ops, strict=True)
    ]
    assert genotype_lib.to_nasbench201(genotype) == example["string"]
    index = example["flat_id"]
    assert genotype_lib.to_nasbench201_index(genotype) == index
    assert genotype_lib.from_nasbench201_index(index) == genotype
    assert genotype_lib.parse(example["string"]) == genotype


def test_the_15625_cells_of_nasbench201_have_distinct_strings():
  strings = set()
  for index in range(15_625):
    genotype = genotype_lib.from_nasbench201_index(index)
    text = genotype_lib.to_nasbench201(genotype)
    assert genotype_lib.from_nasbench201(text) == genotype
    assert genotype_lib.to_nasbench201_index(genotype) == index
    strings.add(text)
  assert len(strings) == 15_625
  with pytest.raises(ValueError, match="15625 is not in 0 to 15624"):
    genotype_lib.from_nasbench201_index(15_625)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("|a~0|+|a~0|b~1|", "has 3 nodes, this has 2"),
    ("|a~0|+|a~0|b~1|+|a~0|b~1|c~3|", r"node 3 .* expected \|op~0\|op~1\|op~2"),
    ("|a~0|+|a~0|+|a~0|b~1|c~2|", r"node 2 .* found '\|a~0\|'"),
    ("|a~0|+|a~0|b~1|x+|a~0|b~1|c~2|", "node 2"),
    ("|a~0+|a~0|b~1|+|a~0|b~1|c~2|", "node 1"),
    ("|~0|+|a~0|b~1|+|a~0|b~1|c~2|", "node 1"),
    ("|", "has 3 nodes, this has 1"),
  ],
)
def test_a_wrong_nasbench201_string_is_one_clear_line(text, message):
  with pytest.raises(ValueError, match=message):
    genotype_lib.parse(text)


def test_only_nasbench201_cells_become_its_strings():
  with pytest.raises(ValueError, match="not a NAS-Bench-201 cell"):
    genotype_lib.to_nasbench201(genotype_lib.parse("DARTS_V1"))
  text = "|a b~0|+|a~0|b~1|+|a~0|b~1|c~2|".replace("a b", "odd")
  genotype = genotype_lib.parse(text)
  assert genotype_lib.to_nasbench201(genotype) == text
  with pytest.raises(ValueError, match="'odd' is not an operation"):
    genotype_lib.to_nasbench201_index(genotype)


# The published cells ----------------------------------------------------------


def test_the_published_cells_are_those_of_the_oracle(shared):
  oracle = json.loads(
    (shared / "oracles" / "reference_genotypes.json").read_text()
  )["genotypes"]
  names = {n for n, entry in oracle.items() if entry["format"] != "mbconv21"}
  assert set(genotype_lib.published()) == names
  for name in names:
    entry = oracle[name].get("genotype_as_darts", oracle[name]["genotype"])
    genotype = genotype_lib.parse(name)
    for cell_type, cell in genotype.cells().items():
      flat = [list(pair) for node in cell.nodes for pair in node]
      kept = [pair for pair in entry[cell_type] if pair[0] != "none"]
      assert flat == kept
      assert list(cell.concat) == entry[f"{cell_type}_concat"]
      assert cell.is_connected()


def test_a_published_cell_says_where_it_is_from():
  assert genotype_lib.published_source("DARTS_V1") == (
    "DARTS first order (arXiv:1806.09055); published: CIFAR-10 test error"
    " 3.00±0.14 %, 3.3 M parameters"
  )
  assert len(genotype_lib.parse("AmoebaNet").normal.nodes) == 5
  aggressive = genotype_lib.parse("SNAS_aggressive_edge_all")
  assert aggressive.cells()["reduce"].nodes[2:] == ((), ())


@pytest.mark.parametrize(
  "rule", ["darts", "snas_all_edges", "entrannas_top2_any", "dst"]
)
def test_derived_cells_of_the_oracle_survive_their_forms(rule, shared):
  oracle = json.loads(
    (shared / "oracles" / "genotype_derivation.json").read_text()
  )
  for case in oracle["cases"]:
    if rule not in case:
      continue
    nodes = case[rule]
    if isinstance(nodes[0][0], str):
      nodes = [nodes[i : i + 2] for i in range(0, len(nodes), 2)]
    cell = Cell(nodes, (2, 3, 4, 5))
    genotype = Genotype(cell, cell)
    text = genotype_lib.to_json(genotype)
    assert genotype_lib.from_json(text) == genotype
    if all(len(node) == 2 for node in nodes):
      text = genotype_lib.to_darts(genotype)
      assert genotype_lib.from_darts(text) == genotype


# Names and paths --------------------------------------------------------------


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("darts_v2", "did you mean DARTS_V2?"),
    ("zzz", "'zzz' is no file, .*DARTS_V1, DARTS_V2"),
    ("", "is no file"),
    ("x" * 100_000, "is no file"),
    ("no\0path", "is no file"),
  ],
)
def test_what_is_neither_name_nor_file_nor_text_is_one_clear_line(
  text, message
):
  with pytest.raises(ValueError, match=message) as caught:
    genotype_lib.parse(text)
  assert len(str(caught.value)) < 600


def test_missing_files_folders_and_pictures_are_one_clear_line(tmp_path):
  with pytest.raises(
    FileNotFoundError, match="no genotype file at .*none.json"
  ):
    genotype_lib.load(tmp_path / "none.json")
  with pytest.raises(ValueError, match="is a folder"):
    genotype_lib.parse(str(tmp_path))
  picture = tmp_path / "picture.png"
  picture.write_bytes(b"\x89PNG\r\n\x1a\n\xff")
  with pytest.raises(ValueError, match="picture.png: not a text file"):
    genotype_lib.parse(picture)
  assert isinstance(picture, pathlib.Path)
