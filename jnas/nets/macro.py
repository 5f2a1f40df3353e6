"""How cells are stacked into a network: kinds, channels, resolutions.

Source: DARTS, Sec. 3.1 and 3.2; SPEC 2.2 (32x32) and 2.3 (224x224).
"""

from typing import Literal, NamedTuple

Stem = Literal["cifar", "imagenet"]

STEM_MULTIPLIER = 3
# Each stem: how far it reduces the resolution before the first cell.
STEM_STRIDE: dict[str, int] = {"cifar": 1, "imagenet": 8}


class CellPlan(NamedTuple):
  """One cell of a network.

  Attributes:
    cell_type: "normal" or "reduce".
    features: C of this cell.
    stride: 2 in a reduction cell, else 1.
    halve_first: whether the output of two cells before must be halved, since
      the previous cell was a reduction cell.
  """

  cell_type: str
  features: int
  stride: int
  halve_first: bool


class MacroPlan(NamedTuple):
  """A network of cells.

  Attributes:
    stem: which stem comes first.
    features: C of the first cell.
    cells: in order.
    auxiliary_cell: index of the cell whose output feeds the auxiliary head.
    num_classes: outputs of the classifier.
  """

  stem: Stem
  features: int
  cells: tuple[CellPlan, ...]
  auxiliary_cell: int
  num_classes: int


def plan(
  *, num_cells: int, features: int, num_classes: int, stem: Stem
) -> MacroPlan:
  """Lays out the DARTS macro-architecture.

  Cell l is a reduction cell where l is num_cells // 3 or 2 num_cells // 3;
  there the number of channels doubles first.

  Raises:
    ValueError: for fewer than 3 cells, or a number of features that is odd or
      below 2.
  """
  if num_cells < 3:
    raise ValueError(
      f"{num_cells} cells: at least 3 are needed, two of them reduction cells"
    )
  if features < 2 or features % 2:
    raise ValueError(
      f"{features} channels: the number must be even and at least 2, since a "
      "factorised reduction splits it into halves"
    )
  reductions = (num_cells // 3, 2 * num_cells // 3)
  cells = []
  halve_first = stem == "imagenet"
  channels = features
  for index in range(num_cells):
    is_reduction = index in reductions
    if is_reduction:
      channels *= 2
    cells.append(
      CellPlan(
        "reduce" if is_reduction else "normal",
        channels,
        2 if is_reduction else 1,
        halve_first,
      )
    )
    halve_first = is_reduction
  return MacroPlan(
    stem, features, tuple(cells), 2 * num_cells // 3, num_classes
  )


def check_image(height: int, width: int, stem: Stem) -> None:
  """Refuses image sizes that cannot be halved as often as needed.

  Raises:
    ValueError: naming the size and the number that must divide it.
  """
  divisor = STEM_STRIDE[stem] * 4
  if height % divisor or width % divisor or min(height, width) < divisor:
    raise ValueError(
      f"images of {height}x{width}: height and width must be multiples of "
      f"{divisor} with the {stem} stem, since two reduction cells halve them; "
      "set data.image_size"
    )
