"""How cells become networks: one record of functions for each kind of network.

A space names its kind, `Space.network`. What trains, counts and checks a
network asks its family and knows no kind by name.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from jnas.genotype import Genotype
from jnas.nets import (
  count,
  derived,
  heads,
  indexed,
  macro,
  mbconv_family,
  mbconv_plan,
  nasbench201,
  nasbench201_derived,
  nasbench201_plan,
  nasbench201_supernet,
  segmenter,
  supernet,
  timed,
)
from jnas.nets import inherit as inheriting
from jnas.nets.options import Options
from jnas.ops import Settings, Shape
from jnas.ops import base as ops_base
from jnas.spaces import Space
from jnas.types import PyTree


class Family(NamedTuple):
  """A kind of network.

  Attributes:
    num_inputs: input nodes of its cells.
    cell_types: kinds of cells that it stacks.
    plan: `(cells, features, classes, stem) -> plan`; a plan has `cells`, each
      with `cell_type`, `features` and `stride`.
    check_image: `(height, width, stem)`, refuses sizes that cannot be halved.
    check_auxiliary: `(height, width, stem)`, refuses an auxiliary head.
    supernet: `(space, plan, options) -> module` of images and mixing weights.
    derived: `(genotype, plan, auxiliary, settings) -> module` of images.
    settings: of the operations of a derived network.
    child_settings: `(space) -> Settings`, of a network with inherited weights.
    count_derived: `(genotype, plan, size, image_channels, settings) -> Count`.
    count_supernet: `(space, plan, size, image_channels, options) -> Count`.
    cell_shapes: `(plan, height, width) -> [Shape]`, what each cell's
      operations read.
    indexed: `(space, plan, settings, every_edge) -> timed.Indexed`, one
      program for every architecture; None where there is none.
    timed_layers: `(space, plan, settings, height, width) -> [TimedLayer]`.
    resources: `(space, plan, size=) -> tables` and
    sizes: `(space, plan, size=, image_channels=) -> tables`, as in the module
      `resources`; None where the networks are made of cells.
    inherit: `(supernet's variables, supernet, derived) -> variables`.
    segmenter: `(genotype, plan, settings, head) -> module` of images, of the
      module `segmenter`; None where the backbone keeps too much resolution.
    drops_paths: whether edges can be dropped in training.
    blocks: names of operations that only these networks have; all have weights.
  """

  num_inputs: int
  cell_types: tuple[str, ...]
  plan: Callable[[int, int, int, macro.Stem], Any]
  check_image: Callable[[int, int, macro.Stem], None]
  check_auxiliary: Callable[[int, int, macro.Stem], None]
  supernet: Callable[[Space, Any, Options], nn.Module]
  derived: Callable[[Genotype, Any, bool, Settings], nn.Module]
  settings: Settings
  child_settings: Callable[[Space], Settings]
  count_derived: Callable[[Genotype, Any, int, int, Settings], count.Count]
  count_supernet: Callable[[Space, Any, int, int, Options], count.Count]
  cell_shapes: Callable[[Any, int, int], list[Shape]]
  indexed: Callable[[Space, Any, Settings, bool], timed.Indexed] | None = None
  timed_layers: Callable[..., list[timed.TimedLayer]] | None = None
  resources: Callable[..., dict[str, np.ndarray]] | None = None
  sizes: Callable[..., tuple[np.ndarray, dict[str, np.ndarray]]] | None = None
  inherit: Callable[..., dict[str, PyTree]] = inheriting.inherit
  segmenter: Callable[..., nn.Module] | None = None
  drops_paths: bool = True
  blocks: frozenset[str] = frozenset()


def of(space: Space) -> Family:
  """The family of a space."""
  return FAMILIES[space.network]


# --- cells of two inputs, with reduction cells


def _darts_plan(cells: int, features: int, classes: int, stem: macro.Stem):
  return macro.plan(
    num_cells=cells, features=features, num_classes=classes, stem=stem
  )


def _darts_shapes(plan: macro.MacroPlan, height: int, width: int):
  stride = macro.STEM_STRIDE[plan.stem]
  shape = Shape(height // stride, width // stride, plan.features)
  shapes = []
  for cell in plan.cells:
    shapes.append(shape._replace(channels=cell.features))
    shape = ops_base.strided(shape, cell.stride)
  return shapes


DARTS = Family(
  num_inputs=2,
  cell_types=("normal", "reduce"),
  plan=_darts_plan,
  check_image=macro.check_image,
  check_auxiliary=heads.check_auxiliary,
  supernet=supernet.build,
  derived=lambda genotype, plan, auxiliary, settings: derived.build(
    genotype, plan, auxiliary=auxiliary, settings=settings
  ),
  settings=Settings(affine=True, pool_norm=False),
  child_settings=lambda space: Settings(
    affine=False, pool_norm=space.pool_norm
  ),
  count_derived=lambda genotype, plan, size, channels, settings: (
    count.count_derived(
      genotype, plan, size=size, image_channels=channels, settings=settings
    )
  ),
  count_supernet=lambda space, plan, size, channels, options: (
    count.count_supernet(
      space, plan, size=size, image_channels=channels, options=options
    )
  ),
  cell_shapes=_darts_shapes,
  indexed=lambda space, plan, settings, every_edge: indexed.build(
    space, plan, settings, every_edge=every_edge
  ),
  timed_layers=lambda space, plan, settings, height, width: indexed.layers(
    space, plan, settings, _darts_shapes(plan, height, width)
  ),
  segmenter=segmenter.of_cells,
)


# --- NAS-Bench-201: one cell type of one input, in three stages


def _bench_plan(cells: int, features: int, classes: int, stem: macro.Stem):
  if cells % nasbench201_plan.NUM_STAGES:
    raise ValueError(
      f"{cells} cells: the network of NAS-Bench-201 has three stages, so it "
      "takes a multiple of 3"
    )
  return nasbench201_plan.plan(
    features=features,
    cells_per_stage=cells // nasbench201_plan.NUM_STAGES,
    num_classes=classes,
  )


def _bench_image(height: int, width: int, stem: macro.Stem) -> None:
  if stem != "cifar":
    raise ValueError(
      f"stem is {stem!r}; the network of NAS-Bench-201 has the 'cifar' stem"
    )
  nasbench201_plan.check_image(height, width)


def _no_auxiliary(height: int, width: int, stem: macro.Stem) -> None:
  raise ValueError(
    "the network of NAS-Bench-201 has no auxiliary head; set "
    "evaluate.auxiliary_weight 0"
  )


def _bench_supernet(space: Space, plan: Any, options: Options) -> nn.Module:
  differing = [
    f"{name} {value!r}"
    for name, value in options._asdict().items()
    if value != getattr(Options(), name)
  ]
  if differing:
    raise ValueError(
      f"supernet.{', supernet.'.join(differing)}: the supernet of "
      "NAS-Bench-201 has no such option; leave it out"
    )
  return nasbench201_supernet.build(space, plan)


def _bench_shapes(plan: nasbench201_plan.BenchPlan, height: int, width: int):
  return [
    Shape(height // 2**stage, width // 2**stage, features)
    for stage, features in enumerate(plan.stage_features)
    for _ in range(plan.cells_per_stage)
  ]


def _count_bench(
  genotype: Genotype, plan: Any, size: int, channels: int, settings: Settings
) -> count.Count:
  del settings  # they are the same in every network
  return nasbench201.count_network(
    genotype,
    size=size,
    num_classes=plan.num_classes,
    features=plan.features,
    cells_per_stage=plan.cells_per_stage,
    image_channels=channels,
  )


NASBENCH201 = Family(
  num_inputs=1,
  cell_types=("normal",),
  plan=_bench_plan,
  check_image=_bench_image,
  check_auxiliary=_no_auxiliary,
  supernet=_bench_supernet,
  derived=lambda genotype, plan, auxiliary, settings: nasbench201_derived.build(
    genotype, plan, settings=settings
  ),
  settings=nasbench201_plan.SETTINGS,
  child_settings=lambda space: nasbench201_plan.SETTINGS,
  count_derived=_count_bench,
  count_supernet=lambda space, plan, size, channels, options: (
    nasbench201.count_supernet(space, plan, size=size, image_channels=channels)
  ),
  cell_shapes=_bench_shapes,
)

# --- MBConv: a chain of layers of two kinds

MBCONV = Family(
  num_inputs=1,
  cell_types=("normal", "reduce"),
  plan=mbconv_family.plan,
  check_image=mbconv_family.check_image,
  check_auxiliary=mbconv_family.check_auxiliary,
  supernet=mbconv_family.supernet,
  derived=mbconv_family.build_derived,
  settings=mbconv_family.SETTINGS,
  child_settings=lambda space: mbconv_family.SETTINGS,
  count_derived=mbconv_family.count_derived,
  count_supernet=mbconv_family.count_supernet,
  cell_shapes=mbconv_family.layer_shapes,
  indexed=mbconv_family.indexed,
  timed_layers=mbconv_family.timed_layers,
  resources=mbconv_family.resources,
  sizes=mbconv_family.sizes,
  inherit=mbconv_family.inherit,
  segmenter=segmenter.of_layers,
  drops_paths=False,
  blocks=frozenset(mbconv_plan.BLOCKS),
)

FAMILIES = {"darts": DARTS, "nasbench201": NASBENCH201, "mbconv": MBCONV}
# Every operation that a family has of its own.
BLOCKS = frozenset(name for f in FAMILIES.values() for name in f.blocks)
