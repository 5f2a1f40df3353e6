"""Batch normalisation without affine, and its derivative.

The Jacobian of y = (x - mean) / sqrt(var + eps) with respect to x is
symmetric: the same map, here `project`, carries tangents forwards and
gradients backwards. It needs y and var, not x. The running statistics move in
the same pass; they are state, through which nothing is differentiated.

Source: Ioffe and Szegedy (arXiv:1502.03167), Algorithm 1 and Section 3.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.interpreters import ad

from jnas.native import library, primitive
from jnas.types import Array

# Numbers that a kernel sums in one go: what the first-level cache holds.
_BLOCK_SIZE = 4096


def normalize(
  x: Array,
  running_mean: Array,
  running_var: Array,
  *,
  eps: float,
  momentum: float,
) -> tuple[Array, Array, Array]:
  """`[S, B, H, W, C]`, `[S, C]` twice to y, moved mean, moved variance."""
  y, _, mean, var = normalize_with_var(
    x, running_mean, running_var, eps=eps, momentum=momentum
  )
  return y, mean, var


def normalize_with_var(
  x: Array, running_mean: Array, running_var: Array, **settings
) -> list[Array]:
  """The same, with the batch's own variance, `[S, C]`, behind y."""
  return _normalize_p.bind(x, running_mean, running_var, **settings)


def project(t: Array, y: Array, var: Array, *, eps: float) -> Array:
  """Applies the Jacobian at (y, var) to t, `[S, B, H, W, C]`."""
  return _project_p.bind(t, y, var, eps=eps)


def push(t: Array, y: Array, var: Array, *, eps: float) -> list[Array]:
  """Tangents of y and var, from t, that of what was normalised to them."""
  pushed, product = _push_p.bind(t, y, var, eps=eps)
  return [pushed, 2 * jnp.sqrt(var + eps) * product]


def _normalize_xla(x, running_mean, running_var, *, eps, momentum):
  wide = x.astype(_statistics_type(x))
  mean = _mean(wide)
  centred = wide - mean
  var = _mean(jnp.square(centred))
  y = centred / jnp.sqrt(var + eps)
  mean, var = mean[:, 0, 0, 0], var[:, 0, 0, 0]
  return [
    y.astype(x.dtype),
    var,
    _move(running_mean, mean, momentum),
    _move(running_var, var, momentum),
  ]


def _move(running, new, momentum):
  return momentum * running + (1 - momentum) * new.astype(running.dtype)


def _project_xla(t, y, var, *, eps):
  wide, y = t.astype(var.dtype), y.astype(var.dtype)
  wide = wide - _mean(wide) - y * _mean(wide * y)
  return (wide / _standard_deviation(var, eps)).astype(t.dtype)


def _push_xla(t, y, var, *, eps):
  product = _mean(t.astype(var.dtype) * y.astype(var.dtype))
  return [project(t, y, var, eps=eps), product[:, 0, 0, 0]]


def _mean(x: Array) -> Array:
  return jnp.mean(x, axis=(1, 2, 3), keepdims=True)


def _standard_deviation(var: Array, eps: float) -> Array:
  return jnp.sqrt(var + eps)[:, None, None, None, :]


def _statistics_type(x):
  return jnp.promote_types(x.dtype, jnp.float32)


def _normalize_native(
  x, running_mean, running_var, *, mesh_axes, eps, momentum
):
  image, statistic = (x.shape, x.dtype), (running_mean.shape, jnp.float32)
  settings = dict(eps=eps, momentum=momentum)
  if not mesh_axes:
    results = [image, *[statistic] * 4, partial_sums(x)]
    return library.call(
      "jnas_normalize", results, x, running_mean, running_var, **settings
    )[:4]
  local, var, _ = library.call(
    "jnas_moments", [statistic, statistic, partial_sums(x)], x
  )
  # Devices hold equally many images; variances lack the means' own spread.
  mean = lax.pmean(local, mesh_axes)
  var = lax.pmean(var + jnp.square(local - mean), mesh_axes)
  y, *moved = library.call(
    "jnas_standardize",
    [image, statistic, statistic],
    *(x, mean, var, running_mean, running_var),
    **settings,
  )
  return [y, var, *moved]


def _project_native(t, y, var, *, mesh_axes, eps):
  return _push_native(t, y, var, mesh_axes=mesh_axes, eps=eps)[0]


def _push_native(t, y, var, *, mesh_axes, eps):
  image, statistic = (t.shape, t.dtype), (var.shape, jnp.float32)
  sums = [statistic, statistic, partial_sums(t)]
  if not mesh_axes:
    results = [image, *sums]
    out, _, product, _ = library.call(
      "jnas_project", results, t, y, var, eps=eps
    )
    return [out, product]
  mean, product, _ = library.call("jnas_products", sums, t, y)
  mean, product = lax.pmean((mean, product), mesh_axes)
  out = library.call(
    "jnas_subtract", [image], t, y, mean, product, var, eps=eps
  )[0]
  return [out, product]


def partial_sums(x):
  """Returns shape and type of the sums over blocks of positions.

  The blocks are fixed and their sums added in order, so that the result does
  not depend on which thread is done first.
  """
  stacked, *positions, channels = x.shape
  blocks = -(-math.prod(positions) * channels // _BLOCK_SIZE)
  return (stacked, blocks, 2, channels), jnp.float32


def _normalize_shapes(x, running_mean, running_var, *, eps, momentum):
  del eps, momentum
  return result_shapes(x, running_mean, running_var)


def result_shapes(y, running_mean, running_var):
  """Shapes and types of y, its variance and the moved statistics."""
  var = primitive.ShapedArray((y.shape[0], y.shape[-1]), _statistics_type(y))
  moved = [
    primitive.ShapedArray(running.shape, running.dtype)
    for running in (running_mean, running_var)
  ]
  return [primitive.ShapedArray(y.shape, y.dtype), var, *moved]


def _project_shapes(t, y, var, *, eps):
  del y, var, eps
  return primitive.ShapedArray(t.shape, t.dtype)


def _push_shapes(t, y, var, *, eps):
  del y, eps
  return [primitive.ShapedArray(a.shape, a.dtype) for a in (t, var)]


_normalize_p = primitive.make(
  "normalize",
  _normalize_shapes,
  xla=_normalize_xla,
  native=primitive.Native(
    _normalize_native, (1, None, None), (1, None, None, None)
  ),
  multiple_results=True,
)
_project_p = primitive.make(
  "normalize_project",
  _project_shapes,
  xla=_project_xla,
  native=primitive.Native(_project_native, (1, 1, None), (1,)),
)
# The same, with the mean of t times y, `[S, C]`.
_push_p = primitive.make(
  "normalize_push",
  _push_shapes,
  xla=_push_xla,
  native=primitive.Native(_push_native, (1, 1, None), (1, None)),
  multiple_results=True,
)


def _normalize_jvp(primals, tangents, *, eps, momentum):
  x, running_mean, running_var = primals
  t = tangents[0]
  out = _normalize_p.bind(
    x, running_mean, running_var, eps=eps, momentum=momentum
  )
  y, var, *moved = out
  no_tangents = [primitive.zero_tangent(value) for value in moved]
  if type(t) is ad.Zero:
    return out, [*map(primitive.zero_tangent, (y, var)), *no_tangents]
  return out, [*push(t, y, var, eps=eps), *no_tangents]


def _project_jvp_y(y_dot, t, y, var, *, eps):
  """Differentiates -y mean(t y) / sqrt(var + eps) with respect to y."""
  wide, y, y_dot = (a.astype(var.dtype) for a in (t, y, y_dot))
  slope = -(y_dot * _mean(wide * y) + y * _mean(wide * y_dot))
  return (slope / _standard_deviation(var, eps)).astype(t.dtype)


def _project_jvp_var(var_dot, t, y, var, *, eps):
  """Differentiates 1 / sqrt(var + eps) with respect to var."""
  slope = -0.5 * var_dot / (var + eps)
  out = project(t, y, var, eps=eps).astype(var.dtype)
  return (out * slope[:, None, None, None, :]).astype(t.dtype)


def _project_transpose(ct, t, y, var, *, eps):
  del t
  if type(ct) is ad.Zero:
    return None, None, None
  return project(ct, y, var, eps=eps), None, None


def _push_jvp(primals, tangents, *, eps):
  tangents = tuple(map(ad.instantiate_zeros, tangents))
  run = functools.partial(_push_xla, eps=eps)
  out = _push_p.bind(*primals, eps=eps)
  return out, jax.jvp(run, tuple(primals), tangents)[1]


def _push_transpose(cts, t, y, var, *, eps):
  ct, product_ct = cts
  total = None
  if type(ct) is not ad.Zero:
    total = project(ct, y, var, eps=eps)
  if type(product_ct) is not ad.Zero:
    count = math.prod(t.aval.shape[1:-1])
    part = y * (product_ct / count)[:, None, None, None, :]
    part = part.astype(t.aval.dtype)
    total = part if total is None else total + part
  return total, None, None


ad.primitive_jvps[_normalize_p] = _normalize_jvp
ad.defjvp(
  _project_p,
  lambda t_dot, t, y, var, *, eps: project(t_dot, y, var, eps=eps),
  _project_jvp_y,
  _project_jvp_var,
)
ad.primitive_transposes[_project_p] = _project_transpose
ad.primitive_jvps[_push_p] = _push_jvp
ad.primitive_transposes[_push_p] = _push_transpose
