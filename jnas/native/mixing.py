"""Weighted sums of stacks, as in mixed operations, and their derivatives.

With weights w[n, t], terms y[n, t] and totals g[t], everything here is a
partial derivative of F = sum over n, t of w[n, t] <y[n, t], g[t]>: `mix` with
respect to g, `spread` to y, `inner` to w. The derivatives of each are the
other two.

Source: DARTS, Eq. (2).
"""

import functools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import ad, batching

from jnas.native import library, primitive
from jnas.types import Array


def mix(
  weights: Array, terms: Sequence[Array], added: Sequence[Array] = ()
) -> list[Array]:
  """`[N, T, G]`, N of `[T or 1, B, ...]`, T or no `[B, ...]` to T `[B, ...]`.

  Group g of the weights is for the g-th of G equal parts of the batch.
  """
  return _mix_p.bind(weights, *terms, *added)


def weights_type(x: Array) -> np.dtype:
  """The type of the weights of terms like x."""
  return jnp.promote_types(x.dtype, jnp.float32)


def _spread(
  weights: Array, totals: Sequence[Array], stacks: Sequence[int]
) -> list[Array]:
  """The terms, each `[stack, B, ...]`, from T totals `[B, ...]`."""
  return _spread_p.bind(weights, *totals, stacks=tuple(stacks))


def _inner(
  terms: Sequence[Array], totals: Sequence[Array], groups: int
) -> Array:
  """The weights `[N, T, G]` from N terms and T totals."""
  return _inner_p.bind(*terms, *totals, num_terms=len(terms), groups=groups)


# In XLA.


def _mix_xla(weights, *arrays):
  terms, added = arrays[: len(weights)], arrays[len(weights) :]
  totals = []
  for target in range(weights.shape[1]):
    parts = [part.astype(weights.dtype) for part in added[target : target + 1]]
    parts += [
      _scale(weights[index, target], _at(term, target))
      for index, term in enumerate(terms)
    ]
    totals.append(functools.reduce(jnp.add, parts).astype(terms[0].dtype))
  return totals


def _spread_xla(weights, *totals, stacks):
  terms = []
  for index, stack in enumerate(stacks):
    parts = [_scale(weights[index, t], total) for t, total in enumerate(totals)]
    term = jnp.stack(parts if stack > 1 else [functools.reduce(jnp.add, parts)])
    terms.append(term.astype(totals[0].dtype))
  return terms


def _inner_xla(*arrays, num_terms, groups):
  terms, totals = arrays[:num_terms], arrays[num_terms:]
  dtype = weights_type(totals[0])

  def product(term, total):
    each = term.astype(dtype) * total.astype(dtype)
    return each.reshape(groups, -1).sum(1)

  rows = [
    jnp.stack([product(_at(term, t), total) for t, total in enumerate(totals)])
    for term in terms
  ]
  return jnp.stack(rows)


def _at(term, target):
  return term[target if len(term) > 1 else 0]


def _scale(weights, images):
  """Multiplies `[B, ...]` by `[G]`."""
  if len(weights) > 1:
    weights = jnp.repeat(weights, len(images) // len(weights))
  weights = weights.reshape(-1, *[1] * (images.ndim - 1))
  return weights * images.astype(weights.dtype)


# In kernels.


def _mix_native(weights, *arrays, mesh_axes):
  del mesh_axes
  total = arrays[0].shape[1:], arrays[0].dtype
  return library.call("jnas_mix", [total] * weights.shape[1], weights, *arrays)


def _spread_native(weights, *totals, mesh_axes, stacks):
  del mesh_axes
  shape, dtype = totals[0].shape, totals[0].dtype
  results = [((stack, *shape), dtype) for stack in stacks]
  return library.call("jnas_mix_spread", results, weights, *totals)


def _inner_native(*arrays, mesh_axes, num_terms, groups):
  num_targets = len(arrays) - num_terms
  batch = len(arrays[-1])
  if mesh_axes and groups > 1:
    groups = batch  # of this device
  results = [
    ((num_terms, num_targets, groups), jnp.float32),
    ((batch, num_terms, num_targets), jnp.float32),
  ]
  products = library.call("jnas_mix_inner", results, *arrays)[0]
  return lax.psum(products, mesh_axes) if groups == 1 else products


# The primitives and their rules.


def _mix_shapes(weights, *arrays):
  total = arrays[0].update(shape=arrays[0].shape[1:])
  return [total] * weights.shape[1]


def _spread_shapes(weights, *totals, stacks):
  del weights
  like = totals[0]
  return [like.update(shape=(stack, *like.shape)) for stack in stacks]


def _inner_shapes(*arrays, num_terms, groups):
  shape = num_terms, len(arrays) - num_terms, groups
  return primitive.ShapedArray(shape, weights_type(arrays[0]))


def _mix_axes(weights, *arrays):
  num_terms, num_targets, _ = weights.shape
  ins = [1] * num_terms + [0] * (len(arrays) - num_terms)
  return _split(weights.shape[2], arrays[0].shape[1], ins, [0] * num_targets)


def _spread_axes(weights, *totals, stacks):
  ins, outs = [0] * len(totals), [1] * len(stacks)
  return _split(weights.shape[2], totals[0].shape[0], ins, outs)


def _inner_axes(*arrays, num_terms, groups):
  ins = [1] * num_terms + [0] * (len(arrays) - num_terms)
  axes = _split(groups, arrays[-1].shape[0], [], ins)
  return axes and (axes[1], axes[0])


def _split(groups, batch, ins, outs):
  """Axes of the batch, the weights' first; none where they cannot be split."""
  if groups not in (1, batch):
    return ()
  return (2 if groups > 1 else None, *ins), tuple(outs)


_mix_p = primitive.make(
  "mix",
  _mix_shapes,
  xla=_mix_xla,
  native=primitive.Native(_mix_native, find_axes=_mix_axes),
  multiple_results=True,
)
_spread_p = primitive.make(
  "mix_spread",
  _spread_shapes,
  xla=_spread_xla,
  native=primitive.Native(_spread_native, find_axes=_spread_axes),
  multiple_results=True,
)
_inner_p = primitive.make(
  "mix_inner",
  _inner_shapes,
  xla=_inner_xla,
  native=primitive.Native(_inner_native, find_axes=_inner_axes),
)


def _mix_jvp(primals, tangents):
  weights, *arrays = primals
  weights_dot, *dots = tangents
  terms, num_terms = arrays[: len(weights)], len(weights)
  out = _mix_p.bind(*primals)
  total_dots = _instantiate(dots[num_terms:])
  if type(weights_dot) is not ad.Zero:
    total_dots = mix(weights_dot, terms, total_dots)
  term_dots = _instantiate(dots[:num_terms])
  if term_dots:
    total_dots = mix(weights, term_dots, total_dots)
  return out, total_dots or [*map(primitive.zero_tangent, out)]


def _mix_transpose(cts, weights, *arrays):
  totals = _instantiate(cts)
  if not totals:
    return [None] * (1 + len(arrays))
  num_terms, _, groups = _aval(weights).shape
  terms, added = arrays[:num_terms], arrays[num_terms:]
  weights_ct, term_cts = None, [None] * num_terms
  if ad.is_undefined_primal(weights):
    weights_ct = _inner(terms, totals, groups)
  elif any(map(ad.is_undefined_primal, terms)):
    stacks = [_aval(term).shape[0] for term in terms]
    term_cts = _spread(weights, totals, stacks)
  return [weights_ct, *term_cts, *(totals if added else ())]


def _spread_jvp(primals, tangents, *, stacks):
  weights, *totals = primals
  weights_dot, *dots = tangents
  out = _spread_p.bind(*primals, stacks=stacks)
  parts = []
  if type(weights_dot) is not ad.Zero:
    parts.append(_spread(weights_dot, totals, stacks))
  total_dots = _instantiate(dots)
  if total_dots:
    parts.append(_spread(weights, total_dots, stacks))
  if not parts:
    return out, [*map(primitive.zero_tangent, out)]
  return out, [
    functools.reduce(jnp.add, part) for part in zip(*parts, strict=True)
  ]


def _spread_transpose(cts, weights, *totals, stacks):
  del stacks
  terms = _instantiate(cts)
  if not terms:
    return [None] * (1 + len(totals))
  if ad.is_undefined_primal(weights):
    products = _inner(terms, totals, weights.aval.shape[2])
    return [products, *[None] * len(totals)]
  return [None, *mix(weights, terms)]


def _inner_jvp(primals, tangents, *, num_terms, groups):
  terms, totals = primals[:num_terms], primals[num_terms:]
  out = _inner(terms, totals, groups)
  term_dots = _instantiate(tangents[:num_terms])
  total_dots = _instantiate(tangents[num_terms:])
  parts = []
  if term_dots:
    parts.append(_inner(term_dots, totals, groups))
  if total_dots:
    parts.append(_inner(terms, total_dots, groups))
  if not parts:
    return out, primitive.zero_tangent(out)
  return out, functools.reduce(jnp.add, parts)


def _inner_transpose(ct, *arrays, num_terms, groups):
  del groups
  terms, totals = arrays[:num_terms], arrays[num_terms:]
  if type(ct) is ad.Zero:
    return [None] * len(arrays)
  if ad.is_undefined_primal(terms[0]):
    stacks = [term.aval.shape[0] for term in terms]
    return [*_spread(ct, totals, stacks), *[None] * len(totals)]
  return [*[None] * num_terms, *mix(ct, terms)]


def _instantiate(tangents) -> list[Array]:
  """The tangents as arrays; nothing if all are zero."""
  if all(type(tangent) is ad.Zero for tangent in tangents):
    return []
  return [*map(ad.instantiate_zeros, tangents)]


def _aval(x):
  return x.aval if ad.is_undefined_primal(x) else x


# The mapped axis becomes part of the batch, and each of its elements a group.


def _mix_batching(args, axes):
  size = primitive.axis_size(args, axes)
  num_terms = args[0].shape[0 if axes[0] != 0 else 1]
  places = [2] + [1] * num_terms + [0] * (len(args) - 1 - num_terms)
  out = _mix_p.bind(*_merge(args, axes, places, size))
  return [primitive.unfold(total, size) for total in out], [0] * len(out)


def _spread_batching(args, axes, *, stacks):
  size = primitive.axis_size(args, axes)
  places = [2] + [0] * (len(args) - 1)
  merged = _merge(args, axes, places, size)
  out = _spread_p.bind(*merged, stacks=stacks)
  return [_unmerge(term, 1, size) for term in out], [1] * len(out)


def _inner_batching(args, axes, *, num_terms, groups):
  size = primitive.axis_size(args, axes)
  places = [1] * num_terms + [0] * (len(args) - num_terms)
  merged = _merge(args, axes, places, size)
  out = _inner_p.bind(*merged, num_terms=num_terms, groups=size * groups)
  return _unmerge(out, 2, size), 2


def _merge(args, axes, places, size):
  """Merges each array's mapped axis into another, as its slower part."""
  merged = []
  for x, axis, place in zip(args, axes, places, strict=True):
    if axis is None:
      x = jnp.broadcast_to(x[None], (size, *x.shape))
      axis = 0
    x = jnp.moveaxis(x, axis, place)
    shape = *x.shape[:place], -1, *x.shape[place + 2 :]
    merged.append(x.reshape(shape))
  return merged


def _unmerge(x, place, size):
  return x.reshape(*x.shape[:place], size, -1, *x.shape[place + 1 :])


ad.primitive_jvps[_mix_p] = _mix_jvp
ad.primitive_jvps[_spread_p] = _spread_jvp
ad.primitive_jvps[_inner_p] = _inner_jvp
ad.primitive_transposes[_mix_p] = _mix_transpose
ad.primitive_transposes[_spread_p] = _spread_transpose
ad.primitive_transposes[_inner_p] = _inner_transpose
batching.primitive_batchers[_mix_p] = _mix_batching
batching.primitive_batchers[_spread_p] = _spread_batching
batching.primitive_batchers[_inner_p] = _inner_batching
