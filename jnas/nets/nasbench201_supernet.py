"""The supernet of NAS-Bench-201, mixed by weights from outside.

Source: NAS-Bench-201 (arXiv:2001.00326), Sec. 2.1; SPEC 2.5 and 3.0.
"""

from collections.abc import Mapping

import flax.linen as nn

from jnas.nets import graph, nasbench201_layers, nasbench201_plan
from jnas.nets.options import DEFAULT
from jnas.ops import Settings
from jnas.spaces import Space
from jnas.types import Array, CellWeights


class BenchSupernet(nn.Module):
  """Maps images and mixing weights to logits.

  Attributes:
    graphs: the graph of the one cell type.
    plan: sizes.
    settings: of its operations.
  """

  # This network has none to choose; what is inherited from it asks.
  options = DEFAULT

  graphs: Mapping[str, graph.CellGraph]
  plan: nasbench201_plan.BenchPlan
  settings: Settings

  @nn.compact
  def __call__(
    self, images: Array, weights: CellWeights, *, train: bool
  ) -> Array:
    """Runs the network.

    Args:
      images: `[B, H, W, channels]`, normalised.
      weights: `normal`: `[E, K]` mixing weights, shared by all cells, or
        `[B, E, K]` where each example has its own architecture.
      train: whether batch norms use the batch's statistics; the running ones
        move only if `batch_stats` is mutable.

    Returns:
      `[B, classes]` logits.
    """
    parts = graph.split_weights(self.graphs["normal"], weights["normal"])
    return nasbench201_layers.run_network(
      images,
      self.graphs["normal"],
      self.plan,
      self.settings,
      parts,
      train=train,
      drop_path=None,
    )


def build(space: Space, plan: nasbench201_plan.BenchPlan) -> BenchSupernet:
  """The supernet of a space; scales and shifts are trained here too.

  Raises:
    ValueError: for a space whose cells cannot be stacked so.
  """
  if (
    space.cell_types != ("normal",)
    or space.num_inputs != 1
    or len(space.concat) != 1
  ):
    raise ValueError(
      f"space {space.name!r} has the cells {', '.join(space.cell_types)}, of "
      f"inputs {space.num_inputs} and output nodes {len(space.concat)}; the "
      "network of NAS-Bench-201 takes one cell type, with one input and one "
      "output node"
    )
  return BenchSupernet(
    graphs={"normal": graph.supernet_graph(space, "normal")},
    plan=plan,
    settings=Settings(affine=True, pool_norm=space.pool_norm),
  )
