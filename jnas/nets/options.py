"""What a supernet saves: cells that transit, shared features, fewer channels.

Source: EnTranNAS, Secs. 2.2, 2.3 and 3.1; PC-DARTS (arXiv:1907.05737), Sec.
3.1; SPEC 3.4.
"""

from typing import Literal, NamedTuple, get_args

from jnas.nets import macro

Engine = Literal["all", "first", "half", "last"]
Transit = Literal["switch", "mask", "recompile"]
Remat = Literal["none", "cell", "op"]
DType = Literal["float32", "bfloat16"]


class Options(NamedTuple):
  """Static choices about a supernet; by default it is that of DARTS.

  Attributes:
    engine: the Engine cells, which mix all operations; the other cells are
      Transit cells, which compute the derived connections alone.
    transit: how Transit cells compute. `switch` branches at run time and is
      compiled once; `mask` computes everything and multiplies by 0 or 1;
      `recompile` takes the derived connections as static. All three give the
      same numbers.
    share_features: whether an operation on a node has one set of parameters
      and one output for all edges that leave the node.
    bottleneck: what divides the channels of the operations, by 1x1
      convolutions before and behind them; 1 for none.
    partial_channels: the inverse of the share of channels that pass through
      the operations, the others going past them; 1 for all.
    remat: what is computed again for the gradient instead of stored.
    dtype: of activations; parameters, statistics and logits are float32. With
      float32 they have the type of the images.
  """

  engine: Engine = "all"
  transit: Transit = "switch"
  share_features: bool = False
  bottleneck: int = 1
  partial_channels: int = 1
  remat: Remat = "none"
  dtype: DType = "float32"

  @property
  def has_transit(self) -> bool:
    """Whether there are Transit cells."""
    return self.engine != "all"

  def inner(self, features: int) -> int:
    """Channels that operations have in a cell of so many."""
    return features // (self.bottleneck * self.partial_channels)


DEFAULT = Options()


def check(options: Options, plan: macro.MacroPlan) -> None:
  """Refuses options that contradict each other or the network.

  Raises:
    ValueError: naming the value and those allowed.
  """
  for name, allowed in (
    ("engine", get_args(Engine)),
    ("transit", get_args(Transit)),
    ("remat", get_args(Remat)),
    ("dtype", get_args(DType)),
  ):
    value = getattr(options, name)
    if value not in allowed:
      raise ValueError(f"{name} {value!r}: use one of {', '.join(allowed)}")
  for name in ("bottleneck", "partial_channels"):
    ratio = getattr(options, name)
    widths = sorted({cell.features for cell in plan.cells})
    # A factorised reduction splits the channels once more.
    if ratio < 1 or any(width % (2 * ratio) for width in widths if ratio > 1):
      raise ValueError(
        f"{name} {ratio}: twice of it must divide the {widths} channels of "
        "the cells; use 1 for none"
      )
  if options.bottleneck > 1 and options.partial_channels > 1:
    raise ValueError(
      f"bottleneck {options.bottleneck} and partial_channels "
      f"{options.partial_channels} both reduce the channels; set one of them "
      "to 1"
    )
  if options.partial_channels > 1 and options.has_transit:
    raise ValueError(
      f"partial_channels {options.partial_channels} with engine "
      f"{options.engine!r}: Transit cells have no channels that go past the "
      "operations; use engine 'all', or bottleneck"
    )


def engine_cells(engine: Engine, plan: macro.MacroPlan) -> frozenset[int]:
  """Indices of the Engine cells.

  `first` and `last` take one cell of each type, `half` the first half of each
  type's cells, at least one.

  Source: EnTranNAS, Sec. 3.1 and Table 1.
  Choice: the paper does not say which half; ours holds the `first` cells.
  """
  chosen: set[int] = set()
  for cell_type in {cell.cell_type for cell in plan.cells}:
    indices = [
      index
      for index, cell in enumerate(plan.cells)
      if cell.cell_type == cell_type
    ]
    taken = {
      "all": indices,
      "first": indices[:1],
      "last": indices[-1:],
      "half": indices[: (len(indices) + 1) // 2],
    }
    chosen.update(taken[engine])
  return frozenset(chosen)
