"""ReLU, depthwise convolution, 1x1 convolution and batch norm as one operation.

The four are bound by memory on CPU: in one kernel, what lies between them is
neither stored nor saved for the gradient. `_compose` is what it computes; all
that has no kernel of its own, such as second derivatives, falls back on that
and on the derivatives of its parts.
"""

import functools

import jax
import jax.numpy as jnp
from jax.interpreters import ad, batching

from jnas.native import depthwise, library, normalization, primitive
from jnas.types import Array

# Threads share out the gradients of a source by blocks of images.
_MOST_IMAGE_BLOCKS = 32


def separate(
  x: Array,
  kernel: Array,
  matrix: Array,
  running_mean: Array,
  running_var: Array,
  **settings,
) -> tuple[Array, Array, Array]:
  """`[S, B, H, W, C]`, `[T, k, k, C]`, `[T, C, D]` and twice `[T, D]` to y.

  Returns y, `[T, B, H', W', D]`, and the moved mean and variance.
  """
  # Without kernels there is no point in computing anything again.
  in_kernels = library.load().is_loaded and jax.default_backend() == "cpu"
  run = _separate_p.bind if in_kernels else _compose
  y, _, mean, var = run(
    x, kernel, matrix, running_mean, running_var, **settings
  )
  return y, mean, var


def multiply(x: Array, matrix: Array) -> Array:
  """1x1 convolution of `[S, B, H, W, C]` with `[T, C, D]`; S is 1 or T."""
  # Rows of pixels times a matrix: XLA on CPU transposes the whole tensor,
  # forth and back, for the same product written over five axes.
  rows = x.reshape(x.shape[0], -1, x.shape[-1])
  if x.shape[0] == 1:
    y = jnp.stack([rows[0] @ weights for weights in matrix])
  else:
    y = rows @ matrix
  return y.reshape(len(matrix), *x.shape[1:-1], matrix.shape[-1])


# The definition, and its derivatives.


def _convolve(x, kernel, matrix, *, stride, dilation):
  filtered = depthwise.convolve(x, kernel, x, stride=stride, dilation=dilation)
  return multiply(filtered, matrix)


def _compose(
  x, kernel, matrix, running_mean, running_var, *, eps, momentum, **window
):
  z = _convolve(x, kernel, matrix, **window)
  return normalization.normalize_with_var(
    z, running_mean, running_var, eps=eps, momentum=momentum
  )


def _compose_push(x, kernel, matrix, y, var, *tangents, given, eps, **window):
  """Tangents of y and var, from those `given` of x, kernel and matrix."""

  def run(*chosen):
    return _convolve(*_fill((x, kernel, matrix), given, chosen), **window)

  _, z_dot = jax.jvp(run, _choose((x, kernel, matrix), given), tangents)
  return normalization.push(z_dot, y, var, eps=eps)


def _compose_pull(x, kernel, matrix, y, var, g, *, wanted, eps, **window):
  """Gradients of those `wanted` of x, kernel and matrix, from that of y."""

  def run(*chosen):
    return _convolve(*_fill((x, kernel, matrix), wanted, chosen), **window)

  _, pull_back = jax.vjp(run, *_choose((x, kernel, matrix), wanted))
  return list(pull_back(normalization.project(g, y, var, eps=eps)))


def _choose(args: tuple, flags: tuple[bool, ...]) -> tuple:
  return tuple(arg for arg, flag in zip(args, flags, strict=True) if flag)


def _fill(args: tuple, flags: tuple[bool, ...], chosen: tuple) -> list:
  """Returns args, those with a flag replaced by the chosen ones in turn."""
  rest = iter(chosen)
  return [
    next(rest) if flag else arg for arg, flag in zip(args, flags, strict=True)
  ]


# Native kernels.


def _separate_native(
  x, kernel, matrix, running_mean, running_var, *, mesh_axes, **settings
):
  del mesh_axes
  y, *statistics = _separate_shapes(
    x, kernel, matrix, running_mean, running_var, **settings
  )
  results = [(a.shape, a.dtype) for a in (y, *statistics)]
  moments = (len(matrix), x.shape[1], 2, matrix.shape[-1])
  workspace = [(running_mean.shape, jnp.float32), (moments, jnp.float32)]
  return library.call(
    "jnas_separate",
    [*results, *workspace],
    *(x, kernel, matrix, running_mean, running_var),
    **settings,
  )[:4]


def _pull_native(
  x, kernel, matrix, y, var, g, *, mesh_axes, wanted, **settings
):
  del mesh_axes
  targets, channels, features = matrix.shape
  blocks = min(x.shape[1], _MOST_IMAGE_BLOCKS)
  # Where only the images' gradient is wanted, there is no room for the others.
  stacked = targets if any(wanted[1:]) else 0
  weights = [(stacked, *a.shape[1:]) for a in (kernel, matrix)]
  dx, *dw = library.call(
    "jnas_separate_back",
    [
      (x.shape, x.dtype),
      *((shape, jnp.float32) for shape in weights),
      *(((blocks, *shape), jnp.float32) for shape in weights),
      ((targets, features, channels), x.dtype),
      (var.shape, jnp.float32),
      (var.shape, jnp.float32),
      normalization.partial_sums(g),
    ],
    *(x, kernel, matrix, y, var, g),
    **settings,
  )
  dkernel, dmatrix = (a.astype(x.dtype) for a in dw[:2])
  return list(_choose((dx, dkernel, dmatrix), wanted))


# The primitives and their rules.


def _separate_shapes(
  x, kernel, matrix, running_mean, running_var, *, stride, **settings
):
  del kernel, settings
  height, width = (
    depthwise.output_size(size, stride=stride) for size in x.shape[2:4]
  )
  shape = (matrix.shape[0], x.shape[1], height, width, matrix.shape[-1])
  return normalization.result_shapes(
    primitive.ShapedArray(shape, x.dtype), running_mean, running_var
  )


def _push_shapes(x, kernel, matrix, y, var, *tangents, **settings):
  del x, kernel, matrix, tangents, settings
  return [primitive.ShapedArray(a.shape, a.dtype) for a in (y, var)]


def _pull_shapes(x, kernel, matrix, y, var, g, *, wanted, **settings):
  del y, var, g, settings
  return [
    primitive.ShapedArray(a.shape, a.dtype)
    for a in _choose((x, kernel, matrix), wanted)
  ]


# On several devices the parts know how to share out their work.
_separate_p = primitive.make(
  "separable_conv",
  _separate_shapes,
  xla=_compose,
  native=primitive.Native(_separate_native),
  multiple_results=True,
)
_push_p = primitive.make(
  "separable_conv_push", _push_shapes, xla=_compose_push, multiple_results=True
)
_pull_p = primitive.make(
  "separable_conv_pull",
  _pull_shapes,
  xla=_compose_pull,
  native=primitive.Native(_pull_native),
  multiple_results=True,
)


def _separate_jvp(primals, tangents, *, eps, momentum, **window):
  x, kernel, matrix, *_ = primals
  out = _separate_p.bind(*primals, eps=eps, momentum=momentum, **window)
  y, var, *moved = out
  no_tangents = [primitive.zero_tangent(value) for value in moved]
  given = tuple(type(t) is not ad.Zero for t in tangents[:3])
  if not any(given):
    return out, [*map(primitive.zero_tangent, (y, var)), *no_tangents]
  pushed = _push_p.bind(
    *(x, kernel, matrix, y, var),
    *_choose(tangents[:3], given),
    given=given,
    eps=eps,
    **window,
  )
  return out, [*pushed, *no_tangents]


def _push_transpose(cts, x, kernel, matrix, y, var, *tangents, given, **rest):
  y_ct, var_ct = cts
  gradients: list = [None] * len(tangents)
  if type(var_ct) is not ad.Zero:
    # Only second derivatives come here.
    push = functools.partial(
      _compose_push, x, kernel, matrix, y, var, given=given, **rest
    )
    y_ct = ad.instantiate_zeros(y_ct)
    gradients = list(
      jax.linear_transpose(push, *[t.aval for t in tangents])([y_ct, var_ct])
    )
  elif type(y_ct) is not ad.Zero:
    gradients = _pull_p.bind(
      x, kernel, matrix, y, var, y_ct, wanted=given, **rest
    )
  return [None] * 5 + gradients


def _jvp_of_parts(primals, tangents, *, prim, compose, **params):
  """Differentiates the parts; the values come from the whole all the same."""
  tangents = [ad.instantiate_zeros(t) for t in tangents]
  out = prim.bind(*primals, **params)
  return out, jax.jvp(
    functools.partial(compose, **params), tuple(primals), tuple(tangents)
  )[1]


def _batch_parts(args, axes, *, compose, **params):
  out = jax.vmap(functools.partial(compose, **params), axes)(*args)
  return out, [0] * len(out)


ad.primitive_jvps[_separate_p] = _separate_jvp
for _prim, _compose_it in ((_push_p, _compose_push), (_pull_p, _compose_pull)):
  ad.primitive_jvps[_prim] = functools.partial(
    _jvp_of_parts, prim=_prim, compose=_compose_it
  )
ad.primitive_transposes[_push_p] = _push_transpose
for _prim, _compose_it in (
  (_separate_p, _compose),
  (_push_p, _compose_push),
  (_pull_p, _compose_pull),
):
  batching.primitive_batchers[_prim] = functools.partial(
    _batch_parts, compose=_compose_it
  )
