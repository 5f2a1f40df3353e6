"""What the networks of NAS-Bench-201 are made of: stem, cells, blocks, head.

Source: NAS-Bench-201 (arXiv:2001.00326), Sec. 2.1; SPEC 2.5.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax

from jnas.nets import cell, graph, heads, nasbench201_plan
from jnas.ops import Settings, base
from jnas.types import Array


class Stem(nn.Module):
  """3x3 convolution to C channels and batch norm."""

  features: int

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, channels]` to `[B, H, W, features]`."""
    x = base.Conv(1, self.features, (3, 3), name="conv")(images[None])
    return base.BatchNorm(True, name="norm")(x, train=train)[0]


class ResidualBlock(nn.Module):
  """Halves the resolution, to `features` channels.

  ReLU, 3x3 convolution, batch norm, twice, the stride first; beside it a 2x2
  average pool and a 1x1 convolution without batch norm.
  """

  features: int

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, C]` to `[B, H/2, W/2, features]`."""
    y = x[None]
    for index, stride in enumerate((2, 1), start=1):
      y = base.Conv(
        1, self.features, (3, 3), (stride, stride), name=f"conv_{index}"
      )(jax.nn.relu(y))
      y = base.BatchNorm(True, name=f"norm_{index}")(y, train=train)
    pooled = nn.avg_pool(x, (2, 2), strides=(2, 2))
    return (
      y[0] + base.Pointwise(1, self.features, name="shortcut")(pooled[None])[0]
    )


class BenchCell(nn.Module):
  """A cell that reads the output of the one before, unchanged.

  Attributes:
    graph: its connections.
    features: C.
    settings: of its operations.
  """

  graph: graph.CellGraph
  features: int
  settings: Settings

  @nn.compact
  def __call__(
    self,
    x: Array,
    weights: Mapping[tuple[int, str], Array] | None = None,
    *,
    train: bool,
    drop_path: Array | None = None,
  ) -> Array:
    """Runs the cell.

    Args:
      x: `[B, H, W, C]`.
      weights: of each group, from `graph.split_weights`; None in a derived
        net.
      train: whether batch norms use the batch's statistics.
      drop_path: `[]` probability of dropping an edge, or None.

    Returns:
      `[B, H, W, C]`.
    """
    sources = {
      source: cell.SourceNode(
        self.features, 1, self.settings, name=f"node_{source}"
      )
      for source in {group.source for group in self.graph.groups}
    }

    def run(group: graph.Group, x: Array) -> Array:
      return sources[group.source](group, x, train=train, drop_path=drop_path)

    return graph.walk(self.graph, [x], weights, run=run, stride=1)


class Head(nn.Module):
  """Batch norm, ReLU, global average, linear layer."""

  num_classes: int

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """Maps `[B, H, W, C]` to logits `[B, num_classes]`."""
    x = base.BatchNorm(True, name="norm")(x[None], train=train)[0]
    x = heads.global_average(jax.nn.relu(x))
    return heads.Classifier(self.num_classes, name="classifier")(x)


def run_network(
  images: Array,
  cell_graph: graph.CellGraph,
  plan: nasbench201_plan.BenchPlan,
  settings: Settings,
  weights: Mapping[tuple[int, str], Array] | None,
  *,
  train: bool,
  drop_path: Array | None,
) -> Array:
  """Images to logits; the layers become submodules of the calling module.

  Args:
    images: `[B, H, W, channels]`, normalised.
    cell_graph: of every cell.
    plan: sizes.
    settings: of the operations.
    weights: of each group, or None in a derived net.
    train: whether batch norms use the batch's statistics.
    drop_path: `[]` probability of dropping an edge, or None.

  Returns:
    `[B, classes]` logits.
  """
  nasbench201_plan.check_image(*images.shape[1:3])
  x = Stem(plan.features, name="stem")(images, train=train)
  for index, cell_plan in enumerate(plan.cells):
    stage, position = divmod(index, plan.cells_per_stage)
    if stage and not position:
      block = ResidualBlock(cell_plan.features, name=f"block_{stage}")
      x = block(x, train=train)
    x = BenchCell(
      cell_graph, cell_plan.features, settings, name=f"cell_{index}"
    )(x, weights, train=train, drop_path=drop_path)
  return Head(plan.num_classes, name="head")(x, train=train)
