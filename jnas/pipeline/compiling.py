"""How the steps of a stage are compiled on CPU.

Programs of a search have thousands of small parts, which is not what XLA's
defaults are for.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp

from jnas.native import library

# XLA on CPU drops the barriers that keep what `jax.checkpoint` computes again
# behind the forward pass, and then computes it early and stores it all the
# same: the pass that does so is left out.
_KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}
# XLA has two ways to write loops. Where the large operations are kernels of our
# own, the older one compiles in half the time, to steps that are as fast. Where
# they are not, or with bfloat16, it is the slower in both.
_OLDER_LOOPS = {"xla_cpu_use_fusion_emitters": False}


def jit(function: Callable[..., Any], **options: Any) -> Any:
  """`jax.jit`, so that `jax.checkpoint` saves memory on CPU too."""
  if jax.default_backend() == "cpu":
    options["compiler_options"] = _KEEP_BARRIERS
  return jax.jit(function, **options)


def run(
  function: Callable[..., Any], *args: Any, **jit_options: Any
) -> jax.stages.Compiled:
  """Compiles a function for arguments like these."""
  traced = jit(function, **jit_options).trace(*args)
  options = None
  if (
    jax.default_backend() == "cpu"
    and library.load().is_loaded
    and _has_older_loops()
    and not _computes_in_bfloat16(traced.jaxpr.jaxpr)
  ):
    options = _KEEP_BARRIERS | _OLDER_LOOPS
  return traced.lower().compile(compiler_options=options)


@functools.cache
def _has_older_loops() -> bool:
  """Whether this XLA still knows the option."""
  try:
    jax.jit(lambda: 0, compiler_options=_OLDER_LOOPS).lower().compile()
  except (ValueError, RuntimeError):
    return False
  return True


def _computes_in_bfloat16(jaxpr: jax.extend.core.Jaxpr) -> bool:
  for equation in jaxpr.eqns:
    if any(
      getattr(variable.aval, "dtype", None) == jnp.bfloat16
      for variable in equation.outvars
    ):
      return True
    if any(map(_computes_in_bfloat16, _inner(equation.params.values()))):
      return True
  return False


def _inner(values: Any) -> Iterator[jax.extend.core.Jaxpr]:
  """The programs among an equation's parameters: of branches, loops, calls."""
  for value in values:
    if isinstance(value, list | tuple):
      yield from _inner(value)
    elif isinstance(value, jax.extend.core.ClosedJaxpr):
      yield value.jaxpr
    elif isinstance(value, jax.extend.core.Jaxpr):
      yield value
