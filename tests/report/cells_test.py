"""Drawings of cells: nothing lies on anything else, whatever the genotype."""

import io
import itertools
import random
import xml.etree.ElementTree as ElementTree

import pytest
from matplotlib.backends import backend_agg

from jnas import genotype as genotype_lib
from jnas.genotype import Cell
from jnas.report import cells, layout, ordering, picture, theme

OPS = (
  "none",
  "skip_connect",
  "max_pool_3x3",
  "sep_conv_3x3",
  "dil_conv_5x5",
  "conv_7x1_1x7",
  "my_lab.ops:InvolutionWithAVeryLongNameIndeed",
)


def random_cell(seed: int) -> Cell:
  """Any number of connections a node, none and repeated ones included."""
  draw = random.Random(seed)
  inputs = draw.choice((1, 2, 2, 2, 3))
  nodes = []
  for n in range(draw.randint(1, 6)):
    # From chains of single connections to DST's many.
    size = draw.choice((0, 1, 2, 2, draw.randint(3, 9)))
    nodes.append(
      [(draw.choice(OPS), draw.randrange(inputs + n)) for _ in range(size)]
    )
  own = range(inputs, inputs + len(nodes))
  concat = draw.sample(own, draw.randint(1, len(own)))
  return Cell(nodes, sorted(concat), inputs)


def full_cell() -> Cell:
  """All 14 edges of DARTS."""
  nodes = [[("sep_conv_3x3", i) for i in range(n)] for n in range(2, 6)]
  return Cell(nodes, range(2, 6))


def all_cells():
  for name in genotype_lib.published():
    for cell_type, cell in genotype_lib.parse(name).cells().items():
      yield pytest.param(cell, id=f"{name}-{cell_type}")
  yield pytest.param(
    genotype_lib.from_nasbench201_index(6006).normal, id="nasbench201"
  )
  yield pytest.param(full_cell(), id="all edges")
  yield pytest.param(Cell(((), ()), (2, 3)), id="no connections")
  yield pytest.param(
    Cell(((("sep_conv_3x3", 0),) * 6,), (2,)), id="six times the same"
  )
  for seed in range(30):
    yield pytest.param(random_cell(seed), id=f"random {seed}")


def box_of(item: layout.Item) -> tuple[float, float, float, float]:
  return (
    item.x - item.width / 2,
    item.y - item.height / 2,
    item.x + item.width / 2,
    item.y + item.height / 2,
  )


def points_along(arrow: layout.Arrow, count: int = 40):
  """Points of an arrow's Bezier curve."""
  (x0, y0), (x1, y1), (x2, y2), (x3, y3) = cells.trace(arrow)
  for i in range(count + 1):
    t = i / count
    a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
    yield a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3


@pytest.mark.parametrize("cell", list(all_cells()))
def test_no_text_touches_another_text_or_leaves_its_own_box(cell):
  figure = cells.draw(cell)
  renderer = backend_agg.FigureCanvasAgg(figure).get_renderer()
  texts = figure.axes[0].texts
  boxes = [text.get_window_extent(renderer) for text in texts]
  expected = cell.num_inputs + len(cell.nodes) + 1
  assert len(boxes) == expected + sum(len(node) for node in cell.nodes)
  for first, second in itertools.combinations(boxes, 2):
    assert not first.overlaps(second)
  # Every text lies within the box that is drawn round it, and the picture.
  scale = figure.dpi / cells.POINTS_PER_INCH
  plan = layout.place(cell, theme.text_width)
  written = [item for item in plan.items if item.kind != "waypoint"]
  for box, item in zip(boxes, written, strict=True):
    left, top, right, bottom = box_of(item)
    assert left * scale <= box.x0 and box.x1 <= right * scale
    assert (plan.height - bottom) * scale <= box.y0
    assert box.y1 <= (plan.height - top) * scale
    assert 0 <= box.x0 and box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("cell", list(all_cells()))
def test_no_box_lies_on_another_and_no_arrow_passes_through_one(cell):
  plan = layout.place(cell, theme.text_width)
  solid = [item for item in plan.items if item.kind != "waypoint"]
  for first, second in itertools.combinations(solid, 2):
    a, b = box_of(first), box_of(second)
    apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    assert apart, (first, second)
  lines = [(arrow, points_along(arrow)) for arrow in plan.arrows]
  for arrow, points in lines:
    for x, y in points:
      for item in solid:
        left, top, right, bottom = box_of(item)
        inside = left + 0.1 < x < right - 0.1 and top < y < bottom
        assert not inside, (arrow, item)
  for item in plan.items:  # where a line passes a column
    if item.kind == "waypoint":
      for other in solid:
        _, top, _, bottom = box_of(other)
        same = other.layer == item.layer
        assert not (same and top < item.y < bottom)


def test_every_connection_can_be_followed_from_its_source_to_its_target():
  cell = random_cell(3)
  plan = layout.place(cell, theme.text_width)
  before = {}
  after = {}
  for arrow in plan.arrows:
    before.setdefault(id(arrow.end), []).append(arrow.start)
    after.setdefault(id(arrow.start), []).append(arrow.end)
  found = []
  for item in plan.items:
    if item.kind != "op":
      continue
    (source,) = before[id(item)]
    while source.kind == "waypoint":
      (source,) = before[id(source)]
    (target,) = after[id(item)]
    found.append((source.text, target.text, item.text))
  assert sorted(found) == sorted(
    (
      layout.node_name(cell, source),
      layout.node_name(cell, target),
      theme.short_name(op),
    )
    for source, target, op in cell.connections()
  )


def test_a_cell_that_can_be_drawn_without_crossings_is():
  # b-x crosses a-z and a-y.
  layers = [["a", "b"], ["x", "y", "z"]]
  links = [("a", "z"), ("b", "x"), ("a", "y")]
  assert ordering.count_crossings(layers, links) == 2
  ordering.reduce_crossings(layers, links)
  assert ordering.count_crossings(layers, links) == 0


def test_the_first_input_is_drawn_above_the_second():
  for name in genotype_lib.published():
    for cell in genotype_lib.parse(name).cells().values():
      items = layout.place(cell, theme.text_width).items
      first, second = (
        next(i for i in items if i.text.startswith(start))
        for start in ("0: ", "1: ")
      )
      assert first.y < second.y


def test_the_same_cell_gives_the_same_bytes_and_its_svg_holds_text():
  cell = genotype_lib.parse("AmoebaNet").normal
  drawn = picture.render(cells.draw(cell))
  assert drawn == picture.render(cells.draw(cell))
  texts = [
    element.text
    for element in ElementTree.parse(io.StringIO(drawn.svg)).iter()
    if element.tag.endswith("}text")
  ]
  assert texts.count("avg_pool_3x3") == cell.op_counts()["avg_pool_3x3"]
  assert drawn.png.startswith(b"\x89PNG")


def test_write_makes_svg_png_and_dot_beside_each_other(tmp_path):
  cell = genotype_lib.parse("DARTS_V1").normal
  paths = cells.write(cell, tmp_path / "v1.normal", title='the "best"')
  assert [path.name for path in paths] == [
    "v1.normal.svg",
    "v1.normal.png",
    "v1.normal.dot",
  ]
  assert sorted(tmp_path.iterdir()) == sorted(paths)
  dot = (tmp_path / "v1.normal.dot").read_text()
  assert dot.startswith('digraph "the \\"best\\"" {\n')
  assert dot.count('label="sep_conv_3x3"') == 5
  assert dot.count("-> output") == 4
  assert dot.rstrip().endswith("}")
