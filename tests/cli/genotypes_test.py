"""Genotypes that no network can be built of."""

import json

import pytest

EVALUATE = ("evaluate", "--config", "smoke", "--workdir", "run", "--genotype")
SKIP = ["skip_connect", 0]


def cell(*nodes: list, concat: list[int] | None = None, num_inputs: int = 2):
  """A cell as a genotype file holds it."""
  last = num_inputs + len(nodes)
  return {
    "num_inputs": num_inputs,
    "nodes": list(nodes),
    "concat": list(range(num_inputs, last)) if concat is None else concat,
  }


def genotype(normal: object, **changes: object) -> str:
  """The text of a genotype file with one cell for both types."""
  whole = {"format": "jnas.genotype/1", "normal": normal, "reduce": normal}
  return json.dumps(whole | changes)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (
      genotype(cell([SKIP, ["sep_cnv_3x3", 1]])),
      "normal.nodes[0][1]: unknown operation 'sep_cnv_3x3'; did you mean "
      "'sep_conv_3x3'? known are avg_pool_3x3",
    ),
    (
      genotype(cell([SKIP], [["skip_connect", 3]])),
      "node 3 takes node 3, which makes a cycle; it may take nodes 0 to 2",
    ),
    (
      genotype(cell([["skip_connect", 3]], [SKIP])),
      "node 2 takes node 3, which makes a cycle; it may take nodes 0 to 1",
    ),
    (
      genotype(cell([["skip_connect", 9]])),
      "node 2 takes node 9, which does not exist; it may take nodes 0 to 1",
    ),
    (genotype(cell([["skip_connect", -1]])), "node -1, which does not exist"),
    (genotype(cell([SKIP], concat=[5])), "concat: node 5 is not one of the"),
    (genotype(cell([SKIP], concat=[])), "concat: no nodes"),
    (genotype(cell(concat=[2])), "concat: node 2 is not one of the cell's"),
    (genotype(cell([SKIP]), reduce=None), "the genotype has no reduction cell"),
    (
      genotype(cell([SKIP], num_inputs=1)),
      "the genotype's normal cell has 1 inputs; it must have 2",
    ),
    (
      genotype(cell([SKIP]), reduce=cell([SKIP], num_inputs=3)),
      "the genotype's reduce cell has 3 inputs; it must have 2",
    ),
    (genotype(cell([["json:no_op", 0]])), "module json has no 'no_op'"),
    (genotype(cell([["json:loads", 0]])), "it must be a jnas.ops.base.Op"),
    (genotype(cell([SKIP]), format="x/9"), "this jnas reads 'jnas.genotype/1'"),
    (genotype(cell([SKIP]))[:50], "not JSON: "),
    ("", "not JSON: "),
    ("[]", "genotype: expected an object, found []"),
  ],
)
def test_a_genotype_file_that_makes_no_network_is_refused(
  here, refusal, text, message
):
  (here / "cells.json").write_text(text)
  assert message in refusal(*EVALUATE, "cells.json")


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("none.json", "'none.json' is no file, no genotype text and no published"),
    ("DARTS_V3", "did you mean DARTS_V2?"),
    ("", "'' is no file"),
    (".", ". is a folder without a genotype.json"),
    ("|skip_connect~0|", "a NAS-Bench-201 string has 3 nodes, this has 1"),
  ],
)
def test_a_genotype_that_is_not_there_is_refused(refusal, name, message):
  assert message in refusal(*EVALUATE, name)


def test_without_a_genotype_there_is_nothing_to_evaluate(refusal):
  assert refusal(*EVALUATE[:-1]) == (
    "no genotype in 'run': run `jnas search` first, or give one with --genotype"
  )


def test_inherited_weights_need_a_search_and_its_space(
  here, refusal, run_folder
):
  inherit = ("--evaluate.inherit", "--evaluate.channels", 4)
  assert "evaluate.inherit needs the search's weights: no run/search" in (
    refusal(*EVALUATE, "DARTS_V2", *inherit)
  )
  # Five nodes, where the cells of the supernet have four.
  message = refusal(*EVALUATE, "AmoebaNet", *inherit)
  assert "is not in space 'darts'; allowed there: no edge" in message


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (genotype(cell([["skip_connect", 5]])), "node 2 takes node 5, which does"),
    (genotype(cell([["sep_cnv", 0]])), "unknown operation 'sep_cnv'"),
    (genotype(cell([SKIP]))[:50], "genotype.json: not JSON"),
  ],
)
def test_a_damaged_genotype_in_the_run_folder_is_refused(
  refusal, run_folder, text, message
):
  (run_folder() / "genotype.json").write_text(text)
  assert message in refusal(*EVALUATE[:-1])


def test_a_genotype_other_than_the_run_folders_is_refused(refusal, run_folder):
  (run_folder() / "genotype.json").write_text(genotype(cell([SKIP])))
  assert refusal(*EVALUATE, "DARTS_V2") == (
    "run/genotype.json holds another genotype; use another --workdir"
  )


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["count", "DARTS_V2", "--cells", 2], "2 cells: at least 3 are needed"),
    (["count", "DARTS_V2", "--channels", 3], "3 channels: the number must be"),
    (
      ["count", "DARTS_V2", "--size", 31],
      "--size is 31; it must be a multiple",
    ),
    (
      ["count", "DARTS_V2", "--size", -4],
      "--size is -4; it must be a multiple",
    ),
    (
      ["count", "DARTS_V2", "--classes", 0],
      "--classes is 0; it must be at lea",
    ),
    (
      ["count", "DARTS_V2", "--size", "x"],
      "argument --size: invalid int value",
    ),
    (
      ["convert", "DARTS_V2", "--to", "nasbench201"],
      "not a NAS-Bench-201 cell",
    ),
    (["draw", "DARTS_V2", "--out", "file"], "cannot write to file: "),
    (["draw", "DARTS_V2", "--out", "file/x"], "is not a folder"),
  ],
)
def test_sizes_and_places_without_meaning_are_refused(
  here, refusal, arguments, message
):
  (here / "file").write_text("in the way")
  assert message in refusal("genotype", *arguments)
