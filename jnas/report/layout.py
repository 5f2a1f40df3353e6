"""Where a cell's nodes, operations and arrows go: a layered drawing.

Layers run from left to right: the cell's inputs, then in turn a column of
operations and a column of nodes, the output last. Every operation has a place
of its own in its column, and an arrow that must pass a column has one too, so
nothing can lie on anything else, whatever the genotype.

Source: K. Sugiyama et al., Methods for Visual Understanding of Hierarchical
System Structures, 1981 (layers, order by barycentre, dummy items).
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from jnas.genotype import Cell
from jnas.report import ordering, theme

FONT_SIZE = 9.0
MARGIN = 6.0
# Height of an item with the space below it, in points.
_HEIGHT = {"op": 18.0, "node": 26.0, "waypoint": 6.0}
_SPACE = {"op": 7.0, "node": 16.0, "waypoint": 7.0}
_PADDING = 7.0  # beside a text, in points
_NARROWEST = 26.0
_SWEEPS = 12


@dataclasses.dataclass(eq=False)
class Item:
  """Something with a place of its own, in points, y downwards.

  Attributes:
    kind: "node", "op", or "waypoint" where an arrow passes a column.
    text: what is written in it; empty for a waypoint.
    layer: its column.
    is_empty: True for a node that nothing leads to.
    x: of its centre.
    y: of its centre.
    width: of its box; a waypoint's is its column's.
    height: of its box.
  """

  kind: str
  text: str
  layer: int
  is_empty: bool = False
  x: float = 0.0
  y: float = 0.0
  width: float = 0.0
  height: float = 0.0


@dataclasses.dataclass(frozen=True)
class Arrow:
  """A piece of a connection, between neighbouring columns.

  Attributes:
    start: where it comes from, its right side.
    end: where it goes, its left side.
    port: shift of its end from the middle of `end`, in points.
  """

  start: Item
  end: Item
  port: float = 0.0


@dataclasses.dataclass(frozen=True)
class Layout:
  """A drawing of a cell.

  Attributes:
    items: all that has a place.
    arrows: what joins them.
    width: of the drawing, in points.
    height: of the drawing, in points.
  """

  items: tuple[Item, ...]
  arrows: tuple[Arrow, ...]
  width: float
  height: float


def place(cell: Cell, text_width: Callable[[str, float], float]) -> Layout:
  """The drawing of a cell.

  Args:
    cell: any cell.
    text_width: width in points of a text in a font size.
  """
  layers, links = _make_layers(cell)
  first = layers[0][0]
  ordering.reduce_crossings(layers, links)
  if layers[0][0] is not first:  # the first input belongs at the top
    for layer in layers:
      layer.reverse()
  _set_sizes(layers, text_width)
  _set_heights(layers, links)
  width = _set_columns(layers, links)
  items = [item for layer in layers for item in layer]
  top = min(item.y - item.height / 2 for item in items) - MARGIN
  for item in items:
    item.y -= top
  height = max(item.y + item.height / 2 for item in items) + MARGIN
  return Layout(tuple(items), _make_arrows(links), width, height)


def node_name(cell: Cell, node: int) -> str:
  """What a node is called in a drawing."""
  if node >= cell.num_inputs:
    return str(node)
  return (
    f"{node}: c_{{k-{2 - node}}}" if cell.num_inputs == 2 else f"{node}: input"
  )


Link = tuple[Item, Item]


def _make_layers(cell: Cell) -> tuple[list[list[Item]], list[Link]]:
  """Items by layer, in the order of the genotype, and what joins them."""
  rank = _ranks(cell)
  num_nodes = len(rank)
  last = 2 * max(rank) + 1
  layers: list[list[Item]] = [[] for _ in range(last + 1)]

  def add(kind: str, text: str, layer: int, is_empty: bool = False) -> Item:
    item = Item(kind, text, layer, is_empty)
    layers[layer].append(item)
    return item

  nodes = [
    add(
      "node",
      node_name(cell, node),
      2 * rank[node],
      node >= cell.num_inputs and not cell.nodes[node - cell.num_inputs],
    )
    for node in range(num_nodes)
  ]
  output = add("node", "output", last)
  links: list[Link] = []
  # One line leaves a node, and all its connections branch off from it.
  reached: list[list[Item]] = [[node] for node in nodes]

  def reach(source: int, layer: int) -> Item:
    line = reached[source]
    while line[-1].layer < layer:
      line.append(add("waypoint", "", line[-1].layer + 1))
      links.append((line[-2], line[-1]))
    return line[layer - line[0].layer]

  for source, target, op in cell.connections():
    label = add("op", theme.short_name(op), 2 * rank[target] - 1)
    links.append((reach(source, label.layer - 1), label))
    links.append((label, nodes[target]))
  for node in cell.concat:
    links.append((reach(node, last - 1), output))
  return layers, links


def _ranks(cell: Cell) -> list[int]:
  """The longest way from an input to each node."""
  rank = [0] * cell.num_inputs
  for node in cell.nodes:
    rank.append(1 + max((rank[source] for _, source in node), default=0))
  return rank


def _set_sizes(
  layers: list[list[Item]], text_width: Callable[[str, float], float]
) -> None:
  """Boxes as wide as the widest text of their column."""
  for layer in layers:
    widest = max(
      (text_width(item.text, FONT_SIZE) for item in layer if item.text),
      default=0.0,
    )
    width = max(_NARROWEST, widest + 2 * _PADDING) if widest else 0.0
    for item in layer:
      item.width, item.height = width, _HEIGHT[item.kind]


def _set_heights(layers: list[list[Item]], links: Sequence[Link]) -> None:
  """Gives every item its y: near those it is joined to, none on another."""
  neighbours = ordering.neighbours(links)
  for layer in layers:
    _spread(layer, [0.0] * len(layer))
  for sweep in range(8 * _SWEEPS):
    for layer in layers if sweep % 2 == 0 else reversed(layers):
      wished: list[float | None] = []
      for item in layer:
        # Lines that pass a column should be straight: they pull harder.
        near = [
          other.y
          for other in neighbours[item]
          for _ in range(9 if item.kind == other.kind == "waypoint" else 1)
        ]
        wished.append(_mean(near))
      # What is joined to nothing keeps to the middle of its column.
      middle = _mean(wish for wish in wished if wish is not None) or 0.0
      _spread(layer, [middle if wish is None else wish for wish in wished])


def _spread(layer: list[Item], wished: list[float]) -> None:
  """Sets the y of a layer's items, in order, as near to wishes as they can.

  Minimises the squared distances under the spaces to keep, which is isotonic
  regression once the spaces are taken off; solved by pooling neighbours.
  """
  offsets, offset = [], 0.0
  for i, item in enumerate(layer):
    if i:
      above = layer[i - 1]
      space = max(_SPACE[above.kind], _SPACE[item.kind])
      offset += (above.height + item.height) / 2 + space
    offsets.append(offset)
  pools: list[list[float]] = []  # sum of wishes, number of items
  for wish, offset in zip(wished, offsets, strict=True):
    pools.append([wish - offset, 1])
    while (
      len(pools) > 1
      and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]
    ):
      total, count = pools.pop()
      pools[-1][0] += total
      pools[-1][1] += count
  places = [total / count for total, count in pools for _ in range(int(count))]
  for item, position, offset in zip(layer, places, offsets, strict=True):
    item.y = position + offset


def _set_columns(layers: list[list[Item]], links: Sequence[Link]) -> float:
  """Gives every item its x; returns the width of the drawing."""
  x = MARGIN
  for i, layer in enumerate(layers):
    width = max((item.width for item in layer), default=0.0)
    for item in layer:
      item.x = x + width / 2
    climb = max((abs(a.y - b.y) for a, b in links if a.layer == i), default=0.0)
    # Steep arrows need room to turn.
    x += width + min(90.0, 20.0 + 0.3 * climb)
  return max(item.x + item.width / 2 for item in layers[-1]) + MARGIN


def _make_arrows(links: Sequence[Link]) -> tuple[Arrow, ...]:
  """The links, those that enter a node spread over its side."""
  entering: dict[Item, list[Item]] = {}
  for start, end in links:
    entering.setdefault(end, []).append(start)
  for starts in entering.values():
    starts.sort(key=lambda item: item.y)
  arrows = []
  for start, end in links:
    starts = entering[end]
    step = min(5.0, 0.7 * end.height / len(starts))
    middle = (len(starts) - 1) / 2
    arrows.append(Arrow(start, end, step * (starts.index(start) - middle)))
  return tuple(arrows)


def _mean(values: Iterable[float]) -> float | None:
  values = list(values)
  return sum(values) / len(values) if values else None
