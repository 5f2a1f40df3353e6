"""The supernet: every operation on every edge, mixed by weights from outside.

With Transit cells among its cells, only the Engine cells mix.

Source: DARTS, Sec. 2.2; EnTranNAS, Sec. 2.2; SPEC 3.0 and 3.4.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from jnas.nets import cell, drops, graph, heads, macro
from jnas.nets import options as choices
from jnas.nets import transit as transits
from jnas.nets.options import DEFAULT, Options
from jnas.ops import Settings
from jnas.spaces import Space
from jnas.types import Array, CellWeights

# The derived connections of each cell type as a hashable value.
Structure = tuple[tuple[str, tuple[tuple[int, ...], ...]], ...]


class Supernet(nn.Module):
  """Maps images and mixing weights to logits.

  Attributes:
    graphs: the graph of each cell type.
    plan: stem, cells and classes.
    settings: of its operations.
    options: Engine and Transit cells, shared features, channels, memory.
  """

  graphs: Mapping[str, graph.CellGraph]
  plan: macro.MacroPlan
  settings: Settings
  options: Options = DEFAULT

  @nn.compact
  def __call__(
    self,
    images: Array,
    weights: CellWeights,
    transit: CellWeights | Structure | None = None,
    *,
    train: bool,
    edge_weights: CellWeights | None = None,
    drop_path: Array | None = None,
    drop_skip: Array | None = None,
  ) -> Array:
    """Runs the network.

    Args:
      images: `[B, H, W, channels]`, normalised.
      weights: for each cell type `[E, K]` mixing weights, shared by its Engine
        cells, or `[B, E, K]` where each example has its own architecture.
      transit: for each cell type `[E, K]` zeros and ones, the derived
        connections, which no gradient reaches; in the mode `recompile` not
        traced, a `freeze`d one for example. Given if there are Transit cells.
      train: whether batch norms use the batch's statistics; the running ones
        move only if `batch_stats` is mutable. Nothing is dropped otherwise.
      edge_weights: for each cell type `[E]` or `[B, E]`, the weights of the
        channels that go past the operations; None where each edge counts 1.
      drop_path: `[]` probability of dropping an edge of a cell for an example,
        drawn from the `drop_path` stream, or None.
      drop_skip: `[]` probability of dropping an element behind an identity,
        drawn from the `drop_skip` stream, or None.

    Returns:
      `[B, classes]` float32 logits.

    Raises:
      ValueError: for an argument that is missing or that has no use.
    """
    options = self.options
    _check_call(options, transit, edge_weights)
    if not train:
      drop_path = drop_skip = None
    structure = {} if transit is None else dict(transit)
    engines = choices.engine_cells(options.engine, self.plan)
    stem = heads.Stem(self.plan.stem, self.plan.features, name="stem")
    if options.dtype == "bfloat16":
      images = images.astype(jnp.bfloat16)
    before_last, last = stem(images, train=train)
    parts = {
      cell_type: graph.split_weights(self.graphs[cell_type], weights[cell_type])
      for cell_type in self.graphs
    }
    for index, plan in enumerate(self.plan.cells):
      cell_type = plan.cell_type
      scales = None
      if drop_path is not None:
        scales = drops.edge_scales(
          self.make_rng("drop_path"),
          drop_path,
          batch=len(images),
          num_edges=weights[cell_type].shape[-2],
        )
      fields = (self.graphs[cell_type], plan, self.settings, options)
      name = f"cell_{index}"
      extra: dict[str, Any]
      if index in engines:
        module = cell.Cell(*fields, name=name)
        mixing = parts[cell_type]
        around = None if edge_weights is None else edge_weights[cell_type]
        if scales is not None:
          mixing = graph.split_weights(
            fields[0], graph.scale_weights(weights[cell_type], scales)
          )
          around = jnp.ones(1) if around is None else around
          around = jnp.atleast_2d(around) * scales
        extra = {"edge_weights": around}
      else:
        module = transits.TransitCell(*fields, name=name)
        mixing = _connections(options, structure[cell_type])
        extra = {"scales": scales}

      def run(module, before_last, last, mixing=mixing, extra=extra):
        return module(
          before_last, last, mixing, train=train, drop_skip=drop_skip, **extra
        )

      if options.remat == "cell":
        run = nn.remat(run)
      before_last, last = last, run(module, before_last, last)
    return heads.Classifier(self.plan.num_classes, name="classifier")(
      heads.global_average(last)
    )


def freeze(transit: CellWeights) -> Structure:
  """The derived connections as a hashable value, for the mode `recompile`."""
  return tuple(
    (cell_type, tuple(tuple(int(x) for x in row) for row in np.asarray(value)))
    for cell_type, value in transit.items()
  )


def build(
  space: Space, plan: macro.MacroPlan, options: Options = DEFAULT
) -> Supernet:
  """The supernet of a space: no trained scale or shift in its cells.

  Args:
    space: the search space.
    plan: stem, cells and classes.
    options: what it saves; by default nothing, as DARTS.

  Raises:
    ValueError: for options that contradict each other or the plan.
  """
  choices.check(options, plan)
  return Supernet(
    graphs={
      cell_type: graph.supernet_graph(space, cell_type)
      for cell_type in space.cell_types
    },
    plan=plan,
    settings=Settings(affine=False, pool_norm=space.pool_norm),
    options=options,
  )


def _check_call(options: Options, transit: Any, edge_weights: Any) -> None:
  if options.has_transit != (transit is not None):
    raise ValueError(
      f"engine {options.engine!r}: the connections of Transit cells, `transit`,"
      f" are {'missing' if options.has_transit else 'of no use'}"
    )
  if edge_weights is not None and options.partial_channels == 1:
    raise ValueError(
      "partial_channels 1: no channels go past the operations that "
      "`edge_weights` could be for; multiply the mixing weights instead"
    )


def _connections(options: Options, structure: Any) -> Any:
  """A cell's derived connections, traced or static."""
  if options.transit != "recompile":
    return jax.lax.stop_gradient(jnp.asarray(structure, jnp.float32))
  if isinstance(structure, jax.core.Tracer):
    raise ValueError(
      "transit 'recompile': the connections are traced; pass `freeze`d ones, "
      "as a static argument of the jitted function"
    )
  return np.asarray(structure)
