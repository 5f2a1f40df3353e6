"""The macro-architecture of NAS-Bench-201: sizes, stages, what images fit.

Source: NAS-Bench-201 (arXiv:2001.00326), Sec. 2.1; SPEC 2.5.
"""

from typing import NamedTuple

from jnas.nets import macro
from jnas.ops import Settings

NUM_STAGES = 3
# Batch norms are trained, also in the supernet; none follows a pool.
SETTINGS = Settings(affine=True, pool_norm=False)


class BenchPlan(NamedTuple):
  """A network of three stages of one cell.

  Attributes:
    features: C of the first stage; each stage has twice those before.
    cells_per_stage: N.
    num_classes: outputs of the classifier.
  """

  features: int
  cells_per_stage: int
  num_classes: int

  @property
  def stage_features(self) -> tuple[int, ...]:
    """C of each stage."""
    return tuple(self.features * 2**stage for stage in range(NUM_STAGES))

  @property
  def cells(self) -> tuple[macro.CellPlan, ...]:
    """Every cell in order; the blocks between two stages are none."""
    return tuple(
      macro.CellPlan("normal", features, stride=1, halve_first=False)
      for features in self.stage_features
      for _ in range(self.cells_per_stage)
    )


def plan(*, features: int, cells_per_stage: int, num_classes: int) -> BenchPlan:
  """Lays out a network; the benchmark's own has C = 16 and N = 5.

  Raises:
    ValueError: for a number below 1.
  """
  sizes = BenchPlan(features, cells_per_stage, num_classes)
  for name, value in sizes._asdict().items():
    if value < 1:
      raise ValueError(f"{name} is {value}; it must be at least 1")
  return sizes


def check_image(height: int, width: int) -> None:
  """Refuses image sizes that cannot be halved as often as needed.

  Raises:
    ValueError: naming the size and the number that must divide it.
  """
  divisor = 2 ** (NUM_STAGES - 1)
  if height % divisor or width % divisor or min(height, width) < divisor:
    raise ValueError(
      f"images of {height}x{width}: height and width must be multiples of "
      f"{divisor}, since {NUM_STAGES - 1} residual blocks halve them"
    )
