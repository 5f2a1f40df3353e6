"""The film of a search: which epochs it has, and what changed at each."""

import json
import re

import pytest

from jnas import genotype as genotype_lib
from jnas.genotype import Cell, Genotype
from jnas.report import film, folder, page, picture, sketch

A = Cell(((("skip", 0), ("sep", 1)), (("sep", 0), ("sep", 2))), (2, 3))
# The first node takes dil for skip.
B = Cell(((("dil", 0), ("sep", 1)), (("sep", 0), ("sep", 2))), (2, 3))
# As A, in another order.
A_AGAIN = Cell(((("sep", 1), ("skip", 0)), (("sep", 2), ("sep", 0))), (3, 2))
# As A, without the second node's connections.
FEW = Cell(((("skip", 0), ("sep", 1)), ()), (2, 3))


def make_log(genotypes) -> folder.Log:
  """A search whose epochs derived these; None where it does not say."""
  epochs = [
    {"epoch": i, "genotype": g and genotype_lib.to_dict(g)}
    for i, g in enumerate(genotypes)
  ]
  return folder.Log({}, tuple(epochs), {})


def make_cells(count: int) -> list[Genotype]:
  """Genotypes that all differ."""
  return [Genotype(Cell((((f"op_{i}", 0),),), (2,))) for i in range(count)]


def make_section(genotypes) -> str:
  run = folder.Run(
    "run", {}, "", {}, make_log(genotypes), None, False, {}, (), {}, ()
  )
  return film.section(run)


def read_data(section: str) -> dict:
  return json.loads(re.search(r"json\">(.*?)</script>", section)[1])


@pytest.mark.parametrize(
  ("before", "after", "changed"),
  [
    (A, A, 0),
    (A, A_AGAIN, 0),
    (A, B, 1),  # one for another
    (A, FEW, 2),  # two gone
    (FEW, A, 2),  # two come
    (B, FEW, 3),  # one for another at node 2, two gone at node 3
    # One gone at node 2, another come at node 3: no replacement.
    (
      Cell(((("sep", 0), ("sep", 1)), (("sep", 0),)), (3,)),
      Cell(((("sep", 0),), (("sep", 0), ("sep", 1))), (3,)),
      2,
    ),
    # Of two equal connections one is gone.
    (
      Cell(((("sep", 0), ("sep", 0)),), (2,)),
      Cell(((("sep", 0),),), (2,)),
      1,
    ),
  ],
)
def test_a_replaced_connection_counts_once(before, after, changed):
  assert film.count_changed(before, after) == changed


def test_epochs_with_the_same_cells_are_one_shot_and_one_drawing():
  cells = [A, A_AGAIN, B, B, A]
  section = make_section([Genotype(normal, A) for normal in cells])
  data = read_data(section)
  assert data["epochs"] == [1, 2, 3, 4, 5]
  normal, reduce = data["cells"]
  assert normal["drawings"] == [0, 0, 1, 1, 0]
  assert reduce["drawings"] == [0, 0, 0, 0, 0]
  assert normal["notes"] == [
    "Epoch 1: 4 connections.",
    "Epoch 2: 4 connections, none changed since epoch 1.",
    "Epoch 3: 4 connections, 1 changed since epoch 2.",
    "Epoch 4: 4 connections, none changed since epoch 3.",
    "Epoch 5: 4 connections, 1 changed since epoch 4.",
  ]
  assert section.count("<svg") == 2 + 1
  rows = re.findall(r'row">(.*?)</th><td>(.*?)</td><td>(.*?)</td>', section)
  assert rows == [
    ("Epoch 1 to 2", "–", "–"),
    ("Epoch 3 to 4", "1", "0"),
    ("Epoch 5", "1", "0"),
  ]


def test_without_scripts_the_last_cell_is_shown():
  section = make_section([Genotype(A), Genotype(B), Genotype(A)])
  assert re.findall(r"<div( hidden)?><svg", section) == ["", " hidden"]
  assert '<div class="slider" hidden>' in section
  assert "Epoch 3: 4 connections, 1 changed since epoch 2.<" in section


def test_a_long_film_is_thinned_to_its_first_and_last_cells():
  log = make_log([g for g in make_cells(121) for _ in range(2)])
  thinned = film.read(log)
  assert (len(thinned.shots), thinned.total) == (60, 121)
  assert [frame.epoch for frame in thinned.shots[0]] == [1, 2]
  assert [frame.epoch for frame in thinned.shots[-1]] == [241, 242]
  # Shot i is that of 120 i / 59: its cells are compared with those before it.
  assert thinned.shots[30][0].epoch == 2 * 61 + 1
  assert thinned.shots[30][0].before == 2 * 61
  words = "these are 60 of 121, evenly spread"
  assert words in make_section(make_cells(121))
  assert words not in make_section(make_cells(60))


def test_a_search_that_wavers_between_few_cells_is_shown_whole():
  found = film.read(make_log([Genotype(A), Genotype(B)] * 50))
  assert len(found.shots) == found.total == 100


@pytest.mark.parametrize(
  "genotypes",
  [
    [],
    [None, None],
    [Genotype(A)],
    [None, Genotype(A)],
    [Genotype(A, B), None],
  ],
)
def test_fewer_than_two_known_epochs_are_no_film(genotypes):
  assert make_section(genotypes) == ""


def test_epochs_that_do_not_say_are_left_out():
  section = make_section([Genotype(A), None, Genotype(B)])
  assert read_data(section)["epochs"] == [1, 3]
  assert "1 changed since epoch 1." in section


def test_a_cell_that_cannot_be_drawn_leaves_the_others(monkeypatch):
  draw = sketch.draw

  def fail(cell, label):
    if "dil" in label:
      raise ValueError
    return draw(cell, label)

  monkeypatch.setattr(film.sketch, "draw", fail)
  section = make_section([Genotype(A), Genotype(B), Genotype(A)])
  assert section.count("<svg") == 1
  assert section.count("<div hidden><p>This cell cannot be drawn.") == 1
  assert make_section([Genotype(B), Genotype(B)]) == ""


def test_a_cell_of_any_shape_has_a_drawing():
  empty = Cell(((), (("none", 0),)), (2, 3))
  chain = Cell(tuple(((f"mbconv_{i}", i),) for i in range(15)), (15,), 1)
  section = make_section([Genotype(empty, chain), Genotype(A, chain)])
  assert section.count("<svg") == 3


def test_names_are_escaped():
  evil = "</script><b>&\"'"
  cell = Cell((((evil, 0),),), (2,))
  section = make_section([Genotype(cell), Genotype(A)])
  assert "<b>" not in section and section.count("</script>") == 1
  assert "&lt;/script&gt;&lt;b&gt;&amp;&quot;&#x27;</text>" in section


def test_the_page_has_a_film_of_more_than_one_epoch(make_run, monkeypatch):
  monkeypatch.setattr(picture, "PNG_DPI", 30)
  for epochs in (1, 2):
    path = make_run(f"run_{epochs}", epochs=epochs, retrain_epochs=0)
    text = page.write(path).read_text()
    assert ('<section id="film"' in text) == (epochs > 1)
