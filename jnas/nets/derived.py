"""The derived network of a genotype.

Source: DARTS, Sec. 3.2; SPEC 2.2, 2.3, 2.9.
"""

from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn

from jnas.genotype import Genotype
from jnas.nets import cell, graph, heads, macro
from jnas.ops import Settings
from jnas.types import Array


class Outputs(NamedTuple):
  """What a derived network returns.

  Attributes:
    logits: `[B, classes]`.
    auxiliary: `[B, classes]` logits of the auxiliary head; None where the
      network has none or is not being trained.
  """

  logits: Array
  auxiliary: Array | None


class DerivedNet(nn.Module):
  """Maps images to logits through the connections of one genotype.

  Attributes:
    graphs: the graph of each cell type.
    plan: stem, cells and classes.
    settings: of its operations.
    auxiliary: whether there is an auxiliary head.
  """

  graphs: Mapping[str, graph.CellGraph]
  plan: macro.MacroPlan
  settings: Settings
  auxiliary: bool

  @nn.compact
  def __call__(
    self, images: Array, *, train: bool, drop_path: Array | None = None
  ) -> Outputs:
    """Runs the network.

    Args:
      images: `[B, H, W, channels]`, normalised.
      train: whether batch norms use the batch's statistics, and the auxiliary
        head is run.
      drop_path: `[]` probability of dropping an edge for an example, drawn
        from the `drop_path` stream; None for none.

    Returns:
      Logits and auxiliary logits.
    """
    stem = heads.Stem(self.plan.stem, self.plan.features, name="stem")
    before_last, last = stem(images, train=train)
    auxiliary = None
    for index, plan in enumerate(self.plan.cells):
      before_last, last = (
        last,
        cell.Cell(
          self.graphs[plan.cell_type],
          plan,
          self.settings,
          name=f"cell_{index}",
        )(before_last, last, train=train, drop_path=drop_path),
      )
      at_head = self.auxiliary and index == self.plan.auxiliary_cell
      if at_head and (train or self.is_initializing()):
        auxiliary = heads.AuxiliaryHead(
          self.plan.stem, self.plan.num_classes, name="auxiliary"
        )(last, train=train)
    logits = heads.Classifier(self.plan.num_classes, name="classifier")(
      heads.global_average(last)
    )
    return Outputs(logits, auxiliary)


def build(
  genotype: Genotype,
  plan: macro.MacroPlan,
  *,
  auxiliary: bool,
  settings: Settings = Settings(affine=True, pool_norm=False),
) -> DerivedNet:
  """The derived network of a genotype.

  Args:
    genotype: a pair of cells.
    plan: stem, cells and classes.
    auxiliary: whether there is an auxiliary head.
    settings: by default DARTS's: trained scales and shifts, and no batch norm
      behind pools. `Settings(True, True)` is SNAS's own network (D6);
      `Settings(False, space.pool_norm)` is the supernet's child.

  Raises:
    ValueError: if the genotype has one cell type alone.
  """
  if genotype.reduce is None:
    raise ValueError(
      "the genotype has no reduction cell; this macro-architecture needs a "
      "normal and a reduction cell"
    )
  return DerivedNet(
    graphs={
      "normal": graph.derived_graph(genotype.normal),
      "reduce": graph.derived_graph(genotype.reduce),
    },
    plan=plan,
    settings=settings,
    auxiliary=auxiliary,
  )
