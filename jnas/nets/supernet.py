"""The supernet: every operation on every edge, mixed by weights from outside.

Source: DARTS, Sec. 2.2; SPEC 3.0.
"""

from collections.abc import Mapping

import flax.linen as nn

from jnas.nets import cell, graph, heads, macro
from jnas.ops import Settings
from jnas.spaces import Space
from jnas.types import Array, CellWeights


class Supernet(nn.Module):
  """Maps images and mixing weights to logits.

  Attributes:
    graphs: the graph of each cell type.
    plan: stem, cells and classes.
    settings: of its operations.
  """

  graphs: Mapping[str, graph.CellGraph]
  plan: macro.MacroPlan
  settings: Settings

  @nn.compact
  def __call__(
    self, images: Array, weights: CellWeights, *, train: bool
  ) -> Array:
    """Runs the network.

    Args:
      images: `[B, H, W, channels]`, normalised.
      weights: for each cell type `[E, K]` mixing weights, shared by its cells,
        or `[B, E, K]` where each example has its own architecture.
      train: whether batch norms use the batch's statistics; the running ones
        move only if `batch_stats` is mutable.

    Returns:
      `[B, classes]` logits.
    """
    stem = heads.Stem(self.plan.stem, self.plan.features, name="stem")
    before_last, last = stem(images, train=train)
    parts = {
      cell_type: graph.split_weights(self.graphs[cell_type], weights[cell_type])
      for cell_type in self.graphs
    }
    for index, plan in enumerate(self.plan.cells):
      before_last, last = (
        last,
        cell.Cell(
          self.graphs[plan.cell_type],
          plan,
          self.settings,
          name=f"cell_{index}",
        )(before_last, last, parts[plan.cell_type], train=train),
      )
    return heads.Classifier(self.plan.num_classes, name="classifier")(
      heads.global_average(last)
    )


def build(space: Space, plan: macro.MacroPlan) -> Supernet:
  """The supernet of a space: no trained scale or shift in its cells."""
  return Supernet(
    graphs={
      cell_type: graph.supernet_graph(space, cell_type)
      for cell_type in space.cell_types
    },
    plan=plan,
    settings=Settings(affine=False, pool_norm=space.pool_norm),
  )
