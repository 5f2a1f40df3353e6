"""The section on a selection: what was decided, and by which scores."""

import pytest

from jnas.report import decisions, findings, folder, page, picture, selection
from tests.report import conftest
from tests.report.page_test import Outline

OPS = ("skip_connect", "sep_conv_3x3")


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch):
  monkeypatch.setattr(picture, "PNG_DPI", 30)


def trial(accuracy, *, cell="normal", epoch=0, **of):
  return {
    "kind": "trial",
    "cell_type": cell,
    "epoch": epoch,
    "accuracy": accuracy,
    "loss": 2 * accuracy,
    **of,
  }


def decided(*, cell="normal", epoch=0, **of):
  return {"kind": "decision", "cell_type": cell, "epoch": epoch, **of}


def tuned(epoch, accuracy=None):
  line = {
    "kind": "epoch",
    "epoch": epoch,
    "train_loss": 0.5,
    "train_accuracy": 0.7,
    "seconds": 60.0 * (epoch + 1),
  }
  return line if accuracy is None else {**line, "valid_accuracy": accuracy}


# An edge of each cell, two epochs, and a node that keeps two of three edges.
LINES = [
  {"kind": "header", "split_sizes": {"valid": 5000}},
  trial(0.81, edge=[0, 2], op=OPS[0]),
  trial(0.62, edge=[0, 2], op=OPS[1]),
  decided(edge=[0, 2], op=OPS[1], largest_op=OPS[0]),
  decided(cell="reduce", edge=[1, 2], op="none", largest_op="none"),
  tuned(0),
  tuned(1, 0.84),
  trial(0.70, epoch=2, node=3, edge=[0, 3]),
  trial(0.75, epoch=2, node=3, edge=[1, 3]),
  trial(0.65, epoch=2, node=3, edge=[2, 3]),
  decided(epoch=2, node=3, kept=[0, 2], removed=[1]),
  tuned(2, 0.83),
]
SUMMARY = {
  "kind": "summary",
  "selection": "perturbation",
  "child_accuracy": 0.829,
  "seconds": 180.0,
  "peak_bytes": 2**21,
}


def write(path, lines, **settings):
  """A finished search, its selection's lines, and its settings."""
  chosen = {"name": "perturbation", "criterion": "acc", **settings}
  config = {
    "config": {"name": "x", "selection": chosen},
    "hash": "3f2a91c0b7de",
    "versions": conftest.VERSIONS,
  }
  conftest.write_json(path / "config.json", config)
  conftest.write_lines(path / "selection" / "metrics.jsonl", lines)
  return path


def words_of(path):
  return " ".join(Outline(page.write(path).read_text()).texts)


def test_decisions_have_their_trials_and_what_the_supernet_did():
  log = folder.Log(
    {},
    tuple(line for line in LINES if line["kind"] == "epoch"),
    {},
    events=tuple(x for x in LINES if x["kind"] in ("trial", "decision")),
  )
  op, single, node = decisions.read(log, 0.8, "acc")
  assert op.place == "0 → 2" and op.scores == {OPS[0]: 0.81, OPS[1]: 0.62}
  assert op.chosen == (OPS[1],) and op.largest == OPS[0]
  # Measured when the search ended, and after the two epochs that followed.
  assert (op.before, op.after) == (0.8, 0.84)
  assert single.cell_type == "reduce" and not single.scores
  assert node.is_node and node.place == "node 3" and node.chosen == ("0", "2")
  assert node.scores == {"0": 0.70, "1": 0.75, "2": 0.65}
  assert (node.before, node.after) == (0.84, 0.83)
  by_loss = decisions.read(log, 0.8, "loss")[0]
  assert by_loss.scores == {OPS[0]: 1.62, OPS[1]: 1.24}


def test_the_section_tells_every_decision_in_plain_tables(make_run):
  path = make_run(epochs=3, retrain_epochs=0)
  write(path, [*LINES, SUMMARY])
  page.write(path)
  text = (path / "report" / "index.html").read_text()
  section = text[text.index('<section id="selection"') :]
  section = section[: section.index("</section>") + len("</section>")]
  words = " ".join(" ".join(Outline(section).texts).split())
  assert "1. normal 0 → 2 sep_conv_3x3 81.00 62.00 84.00 %" in words
  assert "2. reduce 1 → 2 none" in words
  assert "3. normal node 3 0, 2 70.00 75.00 65.00 83.00 % (−1.00)" in words
  assert "1 of 1 choices are not the operation of the largest" in words
  assert "valid: 5,000 images" in words and "82.90 %" in words
  # Without scripts; tables scroll by keyboard; a column has a heading.
  assert "<script" not in section and "hidden" not in section
  scrolled = section.count('class="scroll" tabindex="0" role="region"')
  assert scrolled == section.count("<table")
  # What is missed most is shaded most: 0.81 - 0.62 is the largest of all.
  assert '<td class="chosen" style="--w:100%">62.00</td>' in section
  assert '<td style="--w:0%">81.00</td>' in section
  assert (path / "report" / "selection_accuracy.svg").exists()


def test_a_selection_under_way_says_so(make_run):
  path = make_run(epochs=3, retrain_epochs=0, search_ended=True)
  (path / "genotype.json").unlink()
  lines = LINES[:2]
  write(path, lines)
  words = words_of(path)
  assert "being tried" in words and "selection: 1 trial" in words
  write(path, LINES[:5])
  run = folder.read(path)
  assert findings.status(run) == "selection: 2 decisions"
  assert "under way: 2 decisions" in findings.headline(run)
  (path / "selection" / "metrics.jsonl").unlink()
  assert (
    findings.status(folder.read(path)) == "search ended, selection not begun"
  )


def test_the_best_of_sampled_cells_are_listed(make_run):
  path = make_run(epochs=3, retrain_epochs=0)
  lines = [trial(0.5 + i / 100, sample=i) for i in range(12)]
  write(path, [LINES[0], *lines, SUMMARY], name="sampled")
  words = words_of(path)
  assert "The best of 12 random cells" in words
  assert words.index("Cell 11") < words.index("Cell 2")
  assert "Cell 1 " not in words


def test_a_run_without_a_selection_keeps_its_page(make_run):
  path = make_run(epochs=3, retrain_epochs=2)
  run = folder.read(path)
  assert run.selection is None and selection.draw(run) == {}
  page.write(path)
  text = (path / "report" / "index.html").read_text()
  assert 'href="#selection"' not in text and "What the search found." in text
