"""Networks as classes in plain Flax, their cells written out.

One function for each family of networks gives the text of its cells and of the
class `Network`, made of the classes of `layers`.
"""

import functools
import textwrap
from collections.abc import Callable
from typing import Any

from jnas.export import layers, weights
from jnas.genotype import Cell, Genotype
from jnas.nets import graph, macro, mbconv_plan, nasbench201_plan
from jnas.ops import Settings

_CELLS = {"normal": "NormalCell", "reduce": "ReductionCell"}
_POOLS = {"max_pool": "MaxPool", "avg_pool": "AvgPool"}


def render(genotype: Genotype, plan: Any, settings: Settings) -> str:
  """The cells and the class `Network`.

  Args:
    genotype: of the network.
    plan: of the network, of any family.
    settings: of its operations.

  Raises:
    ValueError: for an operation that cannot be written in plain Flax.
  """
  of_family: dict[type, Callable[[Genotype, Any, Settings], str]] = {
    macro.MacroPlan: _render_darts,
    nasbench201_plan.BenchPlan: _render_bench,
    mbconv_plan.Plan: _render_chain,
  }
  return of_family[type(plan)](genotype, plan, settings)


def _render_darts(
  genotype: Genotype, plan: macro.MacroPlan, settings: Settings
) -> str:
  cells = [
    _render_cell(name, cell, 2 if name == "reduce" else 1, settings)
    for name, cell in genotype.cells().items()
  ]
  rows = "\n".join(
    f"  ({_CELLS[cell.cell_type]}, {cell.features}, {cell.halve_first}),"
    for cell in plan.cells
  )
  if plan.stem == "cifar":
    features = macro.STEM_MULTIPLIER * plan.features
    stem = f"""x = CifarStem({features}, name="stem")(images, train)
    before_last, last = x, x"""
  else:
    stem = f"""stem = ImageNetStem({plan.features}, name="stem")
    before_last, last = stem(images, train)"""
  table = f"""# Kind, channels, and whether the cell two before must be halved.
CELLS = (
{rows}
)
"""
  network = f'''class Network(nn.Module):
  """Maps normalised images to logits `[B, {plan.num_classes}]`."""

  @nn.compact
  def __call__(self, images, train=False):
    """Runs the stem, the cells, the average and the classifier."""
    {stem}
    for index, (kind, features, halve_first) in enumerate(CELLS):
      cell = kind(features, halve_first, name=f"cell_{{index}}")
      before_last, last = last, cell(before_last, last, train)
    return nn.Dense({plan.num_classes}, name="classifier")(last.mean((1, 2)))
'''
  return "\n\n".join([*cells, table, network])


def _render_bench(
  genotype: Genotype, plan: nasbench201_plan.BenchPlan, settings: Settings
) -> str:
  cell = genotype.normal
  lines = "\n".join(f"    {line}" for line in _nodes(cell, 1, settings))
  return f'''class NormalCell(nn.Module):
  """Node 0 is the input, node {cell.concat[0]} the output."""

  features: int

  @nn.compact
  def __call__(self, n0, train):
    """Maps `[B, H, W, features]` to the same shape."""
    c = self.features
{lines}
    return n{cell.concat[0]}


class Network(nn.Module):
  """Maps normalised images to logits `[B, {plan.num_classes}]`."""

  @nn.compact
  def __call__(self, images, train=False):
    """Runs the stem, three stages of cells, and the head."""
    x = CifarStem({plan.features}, name="stem")(images, train)
    for stage, features in enumerate({plan.stage_features}):
      if stage:
        x = ResidualBlock(features, name=f"block_{{stage}}")(x, train)
      for position in range({plan.cells_per_stage}):
        index = {plan.cells_per_stage} * stage + position
        x = NormalCell(features, name=f"cell_{{index}}")(x, train)
    return BenchHead({plan.num_classes}, name="head")(x, train)
'''


def _render_chain(
  genotype: Genotype, plan: mbconv_plan.Plan, settings: Settings
) -> str:
  del settings
  rows = []
  ops = mbconv_plan.ops_of(genotype, plan)
  for layer, op in zip(plan.layers, ops, strict=True):
    if op in mbconv_plan.BLOCKS:
      kernel, expansion = mbconv_plan.BLOCKS[op]
      block = f"({layer.features}, {kernel}, {expansion}, {layer.stride})"
      rows.append(f"  {block},  # {op}")
    else:
      rows.append(f"  None,  # {op}")
  table = "\n".join(rows)
  return f'''# Channels, kernel, expansion and stride of each layer's block.
LAYERS = (
{table}
)


class Network(nn.Module):
  """Maps normalised images to logits `[B, {plan.num_classes}]`."""

  @nn.compact
  def __call__(self, images, train=False):
    """Runs the stem, the layers and the head."""
    widths = {plan.stem}, {plan.first}
    stem = MBConvStem(*widths, stride={plan.stem_stride}, name="stem")
    x = stem(images, train)
    for index, block in enumerate(LAYERS, start=1):
      if block is not None:
        x = MBConv(*block, name=f"layer_{{index}}")(x, train)
    return MBConvHead({plan.head}, {plan.num_classes}, name="head")(x, train)
'''


# --- cells


def _render_cell(name: str, cell: Cell, stride: int, settings: Settings) -> str:
  """A class for a cell of two inputs, a line for each connection."""
  lines = "\n".join(f"    {line}" for line in _nodes(cell, stride, settings))
  joined = textwrap.fill(
    ", ".join(f"n{node}" for node in cell.concat),
    width=70,
    subsequent_indent=" " * 6,
  )
  return f'''class {_CELLS[name]}(nn.Module):
  """Nodes 0 and 1 are the outputs of the two cells before."""

  features: int
  halve_first: bool

  @nn.compact
  def __call__(self, before_last, last, train):
    """Maps the outputs of the two cells before to this one's."""
    c = self.features
    first = FactorizedReduce if self.halve_first else ReLUConvNorm
    n0 = first(c, name="input_0")(before_last, train)
    n1 = ReLUConvNorm(c, name="input_1")(last, train)
{lines}
    nodes = [{joined}]
    return jnp.concatenate(nodes, axis=-1)
'''


def _nodes(cell: Cell, stride: int, settings: Settings) -> list[str]:
  """The nodes as assignments."""
  lines = []
  for n, node in enumerate(cell.nodes):
    target = cell.num_inputs + n
    terms = [
      _term(
        op,
        source,
        weights.connection_name(target, position, op),
        stride if source < cell.num_inputs else 1,
        settings,
      )
      for position, (op, source) in enumerate(node)
      if not graph.lookup(op).is_zero
    ]
    if not terms:
      halved = f"[:, ::{stride}, ::{stride}]" if stride > 1 else ""
      lines.append(f"n{target} = jnp.zeros_like(n0{halved})")
    elif len(terms) == 1 and len(terms[0]) < 64:
      lines.append(f"n{target} = {terms[0]}")
    else:
      lines += [f"n{target} = (", f"  {terms[0]}"]
      lines += [*(f"  + {term}" for term in terms[1:]), ")"]
  return lines


def _term(
  name: str, source: int, module: str, stride: int, settings: Settings
) -> str:
  """One connection as an expression."""
  op = graph.lookup(name)
  if op.is_identity and stride == 1:
    return f"n{source}"
  if op.is_identity:
    return f'FactorizedReduce(c, name="{module}")(n{source}, train)'
  layer, leading = _layer_of(name, settings)
  strided = f"stride={stride}" if stride > 1 else ""
  given = ", ".join(filter(None, [leading, strided, f'name="{module}"']))
  return f"{layer}({given})(n{source}, train)"


def _layer_of(name: str, settings: Settings) -> tuple[str, str]:
  """The layer of an operation, and its first arguments."""
  build = graph.lookup(name).build
  if isinstance(build, functools.partial):
    kind, given = getattr(build.func, "__name__", ""), build.keywords
    if kind == "Pool":
      return _POOLS[
        given["pool"].__name__
      ], "normalized=True" * settings.pool_norm
    if hasattr(layers, kind) and build.func.__module__.startswith("jnas.ops."):
      return kind, f"c, {given['kernel']}"
  raise ValueError(
    f"the operation {name!r} is none that can be written in plain Flax"
  )
