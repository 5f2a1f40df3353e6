"""Parts of a program that XLA is to compile one by one.

XLA on CPU fuses what is cut from an array with all that made it, and so
computes, and compiles, shared values again and again for each of the cuts.
"""

import functools
from collections.abc import Callable

import jax
from jax.experimental import xla_metadata


def call(function: Callable, params: tuple, *args):
  """Runs a function as a computation of its own, which XLA does not inline.

  Calls of the same function with the same parameters and shapes share it.

  Args:
    function: of arrays, and of the parameters by name.
    params: names and values, hashable.
    *args: the arrays.
  """
  with xla_metadata.set_xla_metadata(inlineable="false"):
    return _outline(function, params)(*args)


def on_cpu(function: Callable) -> Callable:
  """A function of arrays that runs apart on CPU, as it is elsewhere."""

  def run(*args):
    return jax.lax.platform_dependent(
      *args, cpu=functools.partial(call, function, ()), default=function
    )

  return run


@functools.cache
def _outline(function: Callable, params: tuple) -> Callable:
  def outlined(*args):
    # What is called within is to be inlined.
    with xla_metadata.set_xla_metadata(inlineable=None):
      return function(*args, **dict(params))

  outlined.__name__ = function.__name__
  return jax.jit(outlined)
