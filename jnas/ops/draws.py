"""Uniform draws for initialisers, one by one or cut from one long vector.

Every `jax.random.uniform` is a few hundred instructions to compile, and a
supernet has hundreds of kernels: drawing them one by one compiles for minutes.
`initialize` draws one vector for the whole network and hands out its parts.
"""

import contextvars
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jnas.types import Array, PRNGKey, PyTree


class _Reservoir:
  """A vector of draws and how much of it is used."""

  def __init__(self, values: Array | None) -> None:
    self.values = values
    self.used = 0

  def take(self, shape: tuple[int, ...], dtype) -> Array:
    start, self.used = self.used, self.used + math.prod(shape)
    if self.values is None:
      return jnp.zeros(shape, dtype)
    return self.values[start : self.used].reshape(shape).astype(dtype)


_RESERVOIR: contextvars.ContextVar[_Reservoir | None] = contextvars.ContextVar(
  "reservoir", default=None
)


def uniform(key: PRNGKey, shape: tuple[int, ...], dtype) -> Array:
  """Uniform in [-1, 1): from the key, or from `initialize`'s vector.

  Args:
    key: consumed, unless the draws come from the vector.
    shape: of the result.
    dtype: of the result.
  """
  reservoir = _RESERVOIR.get()
  if reservoir is None:
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)
  return reservoir.take(shape, dtype)


def initialize(init: Callable[[PRNGKey], PyTree], key: PRNGKey) -> PyTree:
  """`init(key)` under jit, with all its uniform draws cut from one vector.

  The values have the law of `init(key)` but are other values.

  Args:
    init: maps a key to variables, for example by `module.init`; pure.
    key: consumed.

  Returns:
    The variables.
  """
  counter = _Reservoir(None)
  init_key, draw_key = jax.random.split(key)
  # A function of its own: one traced before would not run, nor be counted.
  _run(lambda: jax.eval_shape(lambda key: init(key), init_key), counter)

  @jax.jit
  def run(init_key: PRNGKey, draw_key: PRNGKey) -> PyTree:
    vector = jax.random.uniform(
      draw_key, (counter.used,), jnp.float32, -1.0, 1.0
    )
    return _run(lambda: init(init_key), _Reservoir(vector))

  return run(init_key, draw_key)


def _run(function: Callable[[], PyTree], reservoir: _Reservoir) -> PyTree:
  token = _RESERVOIR.set(reservoir)
  try:
    return function()
  finally:
    _RESERVOIR.reset(token)
