"""What a kind of network gives for timing: programs, and operations alone.

Source: SPEC 3.9, "surrogate g"; ProxylessNAS (arXiv:1812.00332), Sec. 3.3, for
operations timed alone.
"""

import math
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from jnas.ops import Shape
from jnas.types import Array, PyTree


class Indexed(NamedTuple):
  """One program for every architecture, which takes its branches by index.

  Attributes:
    init: images to variables; only the shape of the images is used.
    apply: `(variables, images, index) -> logits`.
    index: discrete weights of each cell type, NumPy, to the index.
  """

  init: Callable[[Array], PyTree]
  apply: Callable[[PyTree, Array, PyTree], Array]
  index: Callable[[Mapping[str, Any]], PyTree]


class TimedOp(NamedTuple):
  """An operation as it occurs in a layer.

  Attributes:
    name: of the operation and its sizes; equal ones take equal time.
    module: maps `[1, B, H, W, C]`.
    shape: of its input.
  """

  name: Hashable
  module: nn.Module
  shape: Shape


class TimedLayer(NamedTuple):
  """A layer's choices.

  Attributes:
    cell_type: whose weights choose.
    first_row: of the weights.
    rows: for each row its operations; None where one takes no time.
  """

  cell_type: str
  first_row: int
  rows: tuple[tuple[TimedOp | None, ...], ...]


def fill(module: nn.Module, *args: Any, **options: Any) -> PyTree:
  """Variables of a module by their shapes, its initialisers not compiled.

  Kernels are normal of the scale of trained ones, norms those of an untrained
  network: the values cost no time.

  Args:
    module: whose variables are wanted.
    *args: of its call; arrays, of which only the shapes are used.
    **options: of its call.
  """
  shapes = jax.eval_shape(
    lambda: module.init(jax.random.key(0), *args, **options)
  )
  generator = np.random.default_rng(0)

  def values(path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    name = path[-1].key
    if name in ("var", "scale"):
      return np.ones(leaf.shape, leaf.dtype)
    if name in ("mean", "bias"):
      return np.zeros(leaf.shape, leaf.dtype)
    drawn = generator.normal(size=leaf.shape)
    return (drawn / math.prod(leaf.shape[:-1]) ** 0.5).astype(leaf.dtype)

  return jax.tree_util.tree_map_with_path(values, shapes)
