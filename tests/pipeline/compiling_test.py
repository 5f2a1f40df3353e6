"""Which of XLA's ways to write loops a program is compiled with."""

import jax
import jax.numpy as jnp
import pytest

from jnas.native import library
from jnas.pipeline import compiling


def halve(x):
  return x.astype(jnp.bfloat16).astype(jnp.float32)


def keep(x):
  return x


@pytest.mark.parametrize(
  ("function", "expected"),
  [
    (halve, True),
    (keep, False),
    (lambda x: jax.lax.cond(x[0] > 0, keep, halve, x), True),
    (lambda x: jax.lax.cond(x[0] > 0, keep, jnp.sin, x), False),
    (lambda x: jax.lax.scan(lambda c, y: (c, halve(y)), 0, x)[1], True),
    (jax.grad(lambda x: jax.checkpoint(halve)(x).sum()), True),
  ],
)
def test_bfloat16_is_found_wherever_it_is_computed(function, expected):
  traced = jax.jit(function).trace(jnp.ones(3))
  assert compiling._computes_in_bfloat16(traced.jaxpr.jaxpr) == expected


@pytest.mark.parametrize("has_kernels", [True, False])
@pytest.mark.parametrize("has_older", [True, False])
@pytest.mark.parametrize("function", [halve, keep])
def test_the_older_way_is_for_float32_beside_kernels(
  monkeypatch, function, has_older, has_kernels
):
  given = []

  def compile_with(lowered, compiler_options=None):
    del lowered
    given.append(compiler_options)

  status = library.Status(has_kernels, "")
  monkeypatch.setattr(library, "load", lambda: status)
  monkeypatch.setattr(compiling, "_has_older_loops", lambda: has_older)
  monkeypatch.setattr(jax.stages.Lowered, "compile", compile_with)
  monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
  compiling.run(function, jnp.ones(3))
  is_older = has_kernels and has_older and function is keep
  assert ((given[0] or {}).get("xla_cpu_use_fusion_emitters") is False) == (
    is_older
  )


def test_options_of_both_kinds_reach_xla():
  jitted = compiling.jit(lambda x: x + 1)
  compiled = jitted.lower(1.0).compile(
    compiler_options={"xla_cpu_use_fusion_emitters": False}
  )
  assert compiled(2.0) == 3.0
  with pytest.raises(Exception, match="No such compile option"):
    jitted.lower(1.0).compile(compiler_options={"xla_no_such_option": True})
