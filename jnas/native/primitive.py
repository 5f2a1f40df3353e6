"""How a JAX primitive with lowerings of our own is made.

An operation here is a primitive rather than a `custom_vjp`: its derivative
rules are written once, in terms of other primitives, so that derivatives of
every order, forward over reverse included, and `vmap` work whatever computes
the values. A lowering is one of up to three functions of the same arrays,
picked for the platform and the devices that a program is compiled for.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.core
import jax.extend.core as jex_core
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad, batching, mlir
from jax.sharding import AxisType, PartitionSpec

from jnas.native import apart, library

ShapedArray = jax.core.ShapedArray

# The types of operands that kernels are compiled for.
_NATIVE_TYPES = {np.dtype(t) for t in (jnp.float32, jnp.bfloat16, jnp.uint8)}


class Native(NamedTuple):
  """An operation in kernels, and how it is split over devices.

  Attributes:
    run: takes the operands, the parameters and `mesh_axes`, the names of the
      axes the batch is split over, none on one device. The operands are this
      device's share: what sums over the batch has to sum over `mesh_axes`.
    batch_axes: each operand's axis of the batch, None where it has none; of
      operands that may be left out too. Nothing if it runs on one device only.
    out_batch_axes: the same of the results.
    find_axes: gives both from the shapes of the operands and the parameters,
      or nothing, where they are not always the same.
    suits: of the operands' shapes and the parameters, whether the kernels are
      the faster code; they always are if it is not given. Otherwise XLA gets
      an operation that it has fast code for, and inlines it.
    fuses: whether XLA inlines the operation, to fuse its parts with others,
      wherever the kernels are not used.
  """

  run: Callable
  batch_axes: tuple[int | None, ...] = ()
  out_batch_axes: tuple[int | None, ...] = ()
  find_axes: Callable | None = None
  suits: Callable | None = None
  fuses: bool = False


def make(
  name: str,
  shapes: Callable[..., ShapedArray | list[ShapedArray]],
  *,
  xla: Callable,
  native: Native | None = None,
  accelerator: Callable | None = None,
  multiple_results: bool = False,
) -> jex_core.Primitive:
  """Returns a primitive with its lowerings and its batching rule.

  Under `vmap` the mapped axis is merged into axis 0 of every operand, and
  split off axis 0 of every result; so axis 0 of an operand must be one over
  which the operation is applied independently.

  Args:
    name: what a printed program calls it.
    shapes: operands' shapes and parameters to those of the results.
    xla: the operation in `jax.numpy`, used on CPU where there are no native
      kernels, and on every other platform if `accelerator` is not given.
    native: the operation in kernels, for CPU where they were built, if it has
      any.
    accelerator: the operation in `jax.numpy` for every other platform.
    multiple_results: whether the functions return lists.
  """
  prim = jex_core.Primitive(name)
  prim.multiple_results = multiple_results
  prim.def_abstract_eval(functools.partial(_evaluate_shapes, name, shapes))
  prim.def_impl(functools.partial(_run_compiled, prim))
  batching.primitive_batchers[prim] = functools.partial(_fold_into_axis_0, prim)
  everywhere = mlir.lower_fun(accelerator or xla, multiple_results)
  mlir.register_lowering(prim, everywhere)
  if native:
    on_cpu = functools.partial(
      _lower_on_cpu, xla=xla, native=native, multiple_results=multiple_results
    )
    mlir.register_lowering(prim, on_cpu, "cpu")
  elif accelerator:
    mlir.register_lowering(prim, mlir.lower_fun(xla, multiple_results), "cpu")
  return prim


def def_product(prim: jex_core.Primitive, transpose: Callable) -> None:
  """Gives a product of two operands its rules of `grad`, `jvp` and `vmap`.

  Further operands are not differentiated. The operands are stacks: as many
  sources as the first has, each of them for the same number of targets.

  Args:
    prim: linear in each of its first two operands; with the parameter
      `sources` where its result is a stack of sources.
    transpose: takes the cotangent, the operands, the one to be found undefined,
      and the parameters; returns the gradients of the two, one of them None.
  """

  def transpose_either(ct, lhs, rhs, *others, **params):
    if type(ct) is ad.Zero:
      return [None] * (2 + len(others))
    pair = transpose(ct, lhs, rhs, *others, **params)
    return [*pair, *[None] * len(others)]

  ad.primitive_transposes[prim] = transpose_either
  ad.primitive_jvps[prim] = functools.partial(_product_jvp, prim)
  batching.primitive_batchers[prim] = functools.partial(_batch_product, prim)


def _product_jvp(prim: jex_core.Primitive, primals, tangents, **params):
  lhs, rhs, *others = primals
  out = prim.bind(*primals, **params)
  total = zero_tangent(out)
  if type(tangents[0]) is not ad.Zero:
    total = prim.bind(tangents[0], rhs, *others, **params)
  if type(tangents[1]) is not ad.Zero:
    term = prim.bind(lhs, tangents[1], *others, **params)
    total = ad.add_tangents(total, term)
  return out, total


def _batch_product(prim: jex_core.Primitive, args, axes, **params):
  """Merges the mapped axis into the stack axes of sources and of targets.

  A single source stays one when it is not mapped: what is mapped then are
  its targets.
  """
  size = axis_size(args, axes)
  first, second, *others = args
  is_shared = first.shape[0] == 1 and {axes[0], *axes[2:]} == {None}
  if "sources" in params or not is_shared:
    first = fold(first, axes[0], size)
    others = [
      fold(other, axis, size)
      for other, axis in zip(others, axes[2:], strict=True)
    ]
  second = fold(second, axes[1], size)
  if "sources" in params:
    params["sources"] *= size
  return unfold(prim.bind(first, second, *others, **params), size), 0


def fold(x: jax.Array, axis: int | None, size: int) -> jax.Array:
  """Returns x with its mapped axis, of the given size, merged into axis 0."""
  if axis is None:
    x = jnp.broadcast_to(x[None], (size, *x.shape))
  else:
    x = jnp.moveaxis(x, axis, 0)
  return x.reshape(size * x.shape[1], *x.shape[2:])


def unfold(x: jax.Array, size: int) -> jax.Array:
  """Returns x with a leading axis of the given size split off axis 0."""
  return x.reshape(size, x.shape[0] // size, *x.shape[1:])


def axis_size(args: Sequence, axes: Sequence[int | None]) -> int:
  """Returns the length of an axis that not every array has."""
  return next(
    x.shape[a] for x, a in zip(args, axes, strict=True) if a is not None
  )


def zero_tangent(x: jax.Array) -> ad.Zero:
  """Returns the symbolic zero tangent of a value."""
  return ad.Zero(jax.typeof(x).to_tangent_aval())


def _evaluate_shapes(name: str, shapes: Callable, /, *avals, **params):
  # A sum over devices would be missing from gradients, without a word.
  types = [getattr(aval, "manual_axis_type", None) for aval in avals]
  if any(getattr(type_, "varying", None) for type_ in types):
    raise ValueError(
      f"{name}: give the jax.shard_map around it check_vma=False, and sum "
      "gradients over the devices yourself"
    )
  return shapes(*avals, **params)


def _run_compiled(prim: jex_core.Primitive, *args, **params):
  return _compile(prim, tuple(params.items()))(*args)


@functools.cache
def _compile(prim: jex_core.Primitive, params: tuple) -> Callable:
  return jax.jit(functools.partial(prim.bind, **dict(params)))


def _fold_into_axis_0(prim: jex_core.Primitive, args, axes, **params):
  size = axis_size(args, axes)
  args = [fold(x, axis, size) for x, axis in zip(args, axes, strict=True)]
  out = prim.bind(*args, **params)
  if not prim.multiple_results:
    return unfold(out, size), 0
  return [unfold(x, size) for x in out], [0] * len(out)


def _lower_on_cpu(
  ctx, *args, xla: Callable, native: Native, multiple_results: bool, **params
):
  """Lowers to kernels where they can be used, to XLA where not."""
  run = None
  if (
    library.load().is_loaded
    and _NATIVE_TYPES.issuperset(aval.dtype for aval in ctx.avals_in)
    and (native.suits is None or native.suits(*ctx.avals_in, **params))
    # An exported program has to run where these kernels are not.
    and not ctx.module_context.lowering_parameters.for_export
  ):
    if native.find_axes:
      axes = native.find_axes(*ctx.avals_in, **params)
      native = Native(native.run, *axes)
    run = _split_over_devices(native, ctx, multiple_results)
  is_apart = native.suits is None and not native.fuses
  if run is None and is_apart and _is_on_one_device(ctx):
    run = functools.partial(apart.call, xla, tuple(params.items()))
    params = {}
  return mlir.lower_fun(run or xla, multiple_results)(ctx, *args, **params)


def _is_on_one_device(ctx) -> bool:
  context = ctx.module_context.axis_context
  return isinstance(context, mlir.ShardingContext) and context.num_devices == 1


def _split_over_devices(native: Native, ctx, multiple_results: bool):
  """Returns the operation in kernels for these devices, None if there is none.

  XLA cannot split a kernel, so the batch is split here, over all devices: if
  it was sharded, as in data parallelism, then nothing is moved.
  """
  context = ctx.module_context.axis_context
  if isinstance(context, mlir.SPMDAxisContext):
    # Inside a `shard_map` over all axes the operands are one device's.
    if set(context.manual_axes) == set(context.mesh.axis_names):
      return functools.partial(native.run, mesh_axes=())
    return None
  if not isinstance(context, mlir.ShardingContext):
    return None
  if context.num_devices == 1:
    return functools.partial(native.run, mesh_axes=())
  batch_axes = native.batch_axes[: len(ctx.avals_in)]
  if not batch_axes:
    return None
  if axis_size(ctx.avals_in, batch_axes) % context.num_devices:
    return None
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    mesh = jax.sharding.AbstractMesh(
      (context.num_devices,), ("data",), axis_types=(AxisType.Auto,)
    )
  out_specs = [_spec(axis, mesh) for axis in native.out_batch_axes]

  def run(*args, **params):
    return jax.shard_map(
      functools.partial(native.run, mesh_axes=mesh.axis_names, **params),
      mesh=mesh,
      in_specs=tuple(_spec(axis, mesh) for axis in batch_axes),
      out_specs=out_specs if multiple_results else out_specs[0],
      check_vma=False,
    )(*args)

  return run


def _spec(axis: int | None, mesh) -> PartitionSpec:
  """Returns the spec that splits one axis, or none, over the whole mesh."""
  if axis is None:
    return PartitionSpec()
  return PartitionSpec(*[None] * axis, mesh.axis_names)
