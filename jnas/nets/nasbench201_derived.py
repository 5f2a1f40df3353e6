"""The network of one cell in the macro-architecture of NAS-Bench-201.

Source: NAS-Bench-201 (arXiv:2001.00326), Sec. 2.1; SPEC 2.5.
"""

from collections.abc import Mapping

import flax.linen as nn

from jnas.genotype import Cell, Genotype
from jnas.nets import derived, graph, nasbench201_layers, nasbench201_plan
from jnas.ops import Settings
from jnas.types import Array


class BenchNet(nn.Module):
  """Maps images to logits through the connections of one cell.

  Attributes:
    graphs: the graph of the one cell type.
    plan: sizes.
    settings: of its operations.
  """

  graphs: Mapping[str, graph.CellGraph]
  plan: nasbench201_plan.BenchPlan
  settings: Settings

  @nn.compact
  def __call__(
    self, images: Array, *, train: bool, drop_path: Array | None = None
  ) -> derived.Outputs:
    """Runs the network.

    Args:
      images: `[B, H, W, channels]`, normalised.
      train: whether batch norms use the batch's statistics.
      drop_path: `[]` probability of dropping an edge for an example, drawn
        from the `drop_path` stream; None for none, as in the benchmark.

    Returns:
      Logits; there is no auxiliary head.
    """
    logits = nasbench201_layers.run_network(
      images,
      self.graphs["normal"],
      self.plan,
      self.settings,
      None,
      train=train,
      drop_path=drop_path,
    )
    return derived.Outputs(logits, None)


def build(
  genotype: Genotype,
  plan: nasbench201_plan.BenchPlan,
  *,
  settings: Settings = nasbench201_plan.SETTINGS,
) -> BenchNet:
  """The network of a genotype, which with the supernet's settings inherits.

  `inherit.inherit(variables, supernet, net)` gives its variables then.

  Args:
    genotype: one cell type.
    plan: sizes.
    settings: of its operations.

  Raises:
    ValueError: for a cell that cannot be stacked so.
  """
  return BenchNet(
    graphs={"normal": graph.derived_graph(single_cell(genotype))},
    plan=plan,
    settings=settings,
  )


def single_cell(genotype: Genotype) -> Cell:
  """The cell of a genotype that can be stacked so.

  Raises:
    ValueError: unless it has one cell type, with one input and one output.
  """
  cell = genotype.normal
  if (
    genotype.reduce is not None or cell.num_inputs != 1 or len(cell.concat) != 1
  ):
    raise ValueError(
      "not a cell for the network of NAS-Bench-201: it takes one cell type, "
      "with one input and one output node"
    )
  return cell
