"""The order of items within the layers of a drawing, so that few lines cross.

Source: K. Sugiyama et al., Methods for Visual Understanding of Hierarchical
System Structures, 1981 (barycentre), from several orders to begin with.
"""

import collections
import random
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)

_SWEEPS = 8
_STARTS = 6


def reduce_crossings(
  layers: list[list[Item]], links: Sequence[tuple[Item, Item]]
) -> None:
  """Sorts every layer in place; the same layers always end the same.

  Args:
    layers: the items of each layer.
    links: pairs of items of neighbouring layers, the earlier layer's first.
  """
  best = [list(layer) for layer in layers]
  fewest = count_crossings(best, links)
  draw = random.Random(0)
  for start in range(_STARTS):
    if not fewest:
      break
    order = [list(layer) for layer in layers]
    if start:
      for layer in order:
        draw.shuffle(layer)
    for sweep in range(_SWEEPS):
      _sort_by_neighbours(order, links, forward=sweep % 2 == 0)
      crossings = count_crossings(order, links)
      if crossings < fewest:
        fewest, best = crossings, [list(layer) for layer in order]
  for layer, items in zip(layers, best, strict=True):
    layer[:] = items
  _swap_adjacent(layers, links, fewest)


def count_crossings(
  layers: Iterable[list[Item]], links: Sequence[tuple[Item, Item]]
) -> int:
  """Pairs of links between the same layers that must cross."""
  place = {
    item: (l, i)
    for l, layer in enumerate(layers)
    for i, item in enumerate(layer)
  }
  gaps: dict[int, list[tuple[int, int]]] = collections.defaultdict(list)
  for start, end in links:
    gaps[place[start][0]].append((place[start][1], place[end][1]))
  return sum(
    (a - c) * (b - d) < 0
    for gap in gaps.values()
    for i, (a, b) in enumerate(gap)
    for c, d in gap[:i]
  )


def neighbours(
  links: Iterable[tuple[Item, Item]],
) -> Mapping[Item, list[Item]]:
  """What each item is joined to; an empty list for an item on its own."""
  found: dict[Item, list[Item]] = collections.defaultdict(list)
  for start, end in links:
    found[start].append(end)
    found[end].append(start)
  return found


def _sort_by_neighbours(
  layers: list[list[Item]],
  links: Sequence[tuple[Item, Item]],
  *,
  forward: bool,
) -> None:
  """Sorts each layer by the mean place of its neighbours in the one before."""
  before: dict[Item, list[Item]] = collections.defaultdict(list)
  for start, end in links:
    if forward:
      before[end].append(start)
    else:
      before[start].append(end)
  place = {item: i for layer in layers for i, item in enumerate(layer)}
  for layer in layers if forward else reversed(layers):
    pull = {item: float(place[item]) for item in layer}
    for item in layer:
      if before[item]:
        near = [place[other] for other in before[item]]
        pull[item] = sum(near) / len(near)
    layer.sort(key=pull.__getitem__)
    place.update({item: i for i, item in enumerate(layer)})


def _swap_adjacent(
  layers: list[list[Item]], links: Sequence[tuple[Item, Item]], fewest: int
) -> None:
  """Exchanges items that stand next to each other while that helps."""
  improved = True
  while improved and fewest:
    improved = False
    for layer in layers:
      for i in range(len(layer) - 1):
        layer[i], layer[i + 1] = layer[i + 1], layer[i]
        crossings = count_crossings(layers, links)
        if crossings < fewest:
          fewest, improved = crossings, True
        else:
          layer[i], layer[i + 1] = layer[i + 1], layer[i]
