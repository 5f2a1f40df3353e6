import os
import pathlib
import platform
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnas.training import memory


def compiled_step() -> jax.stages.Compiled:
  """A matrix product and a scaled copy of its left operand."""
  step = jax.jit(lambda x, w: (2 * x, x @ w))
  return step.lower(jnp.ones((64, 32)), jnp.ones((32, 16))).compile()


def test_peak_is_arguments_results_and_temporaries():
  # 64 x 32 and 32 x 16 in, 64 x 32 and 64 x 16 and two pointers out, no
  # temporaries, 4 bytes each.
  floats = 64 * 32 + 32 * 16 + 64 * 32 + 64 * 16
  assert memory.compiled_peak_bytes(compiled_step()) == 4 * floats + 2 * 8


@pytest.mark.parametrize(("donated", "arrays"), [((), 2), ((0,), 1)])
def test_a_result_in_the_place_of_an_argument_counts_once(donated, arrays):
  step = jax.jit(lambda x: x + 1, donate_argnums=donated)
  compiled = step.lower(jnp.ones((64, 32))).compile()
  assert memory.compiled_peak_bytes(compiled) == arrays * 4 * 64 * 32


def test_peak_counts_what_is_needed_in_between():
  def through_a_wide_layer(x):
    return (jnp.tanh(x @ jnp.ones((8, 100_000))) @ jnp.ones((100_000, 8))).sum()

  compiled = jax.jit(through_a_wide_layer).lower(jnp.ones((8, 8))).compile()
  assert memory.compiled_peak_bytes(compiled) >= 4 * 8 * 100_000


def test_flops_of_a_product_are_two_a_multiply_add():
  compiled = jax.jit(jnp.matmul).lower(jnp.ones((64, 32)), jnp.ones((32, 16)))
  assert memory.flops(compiled.compile()) == 2 * 64 * 32 * 16


def test_instructions_grow_with_the_program():
  def repeat(times):
    def body(x):
      for _ in range(times):
        x = jnp.sort(jnp.sin(x))
      return x

    return jax.jit(body).lower(jnp.ones(8)).compile()

  counts = [memory.instruction_count(repeat(times)) for times in (1, 2, 3)]
  assert counts[2] - counts[1] == counts[1] - counts[0] > 0


def test_instructions_are_the_lines_of_the_program():
  compiled = compiled_step()
  by_hand = [line for line in compiled.as_text().splitlines() if " = " in line]
  assert memory.instruction_count(compiled) == len(by_hand) > 4


def test_peak_of_a_process_is_its_own_and_outlives_the_need():
  ballast = np.ones(600_000_000, np.uint8)  # in this process, not the next
  script = """if True:
    import numpy as np
    from jnas.training import memory
    before = memory.rss_peak_bytes()
    np.ones(100_000_000, np.uint8)
    print(before, memory.rss_peak_bytes())
  """
  done = subprocess.run(
    [sys.executable, "-c", script],
    env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
    capture_output=True,
    text=True,
  )
  before, after = map(int, done.stdout.split())
  assert 20_000_000 < before < 600_000_000
  assert 90_000_000 < after - before < 110_000_000
  assert memory.rss_peak_bytes() > ballast.nbytes


_TOUCH_TWICE = """
import ctypes, resource, sys
from jnas.training import memory

assert memory.keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
faults = []
for _ in range(2):
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  block = libc.malloc(ctypes.c_size_t(100 * 2**20))
  ctypes.memset(block, 1, 100 * 2**20)
  libc.free(block)
  faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(*faults)
"""


@pytest.mark.skipif(
  "glibc" not in "".join(platform.libc_ver()), reason="needs glibc's allocator"
)
def test_freed_memory_is_kept():
  # A process of its own: the setting is for the whole process.
  done = subprocess.run(
    [sys.executable, "-c", _TOUCH_TWICE],
    capture_output=True,
    text=True,
    check=True,
  )
  first, second = map(int, done.stdout.split())
  assert second < 100
  assert first > second


@pytest.mark.skipif(
  platform.libc_ver()[0] != "glibc", reason="the allocator is glibc's"
)
def test_what_a_compiler_leaves_is_filled_and_large_blocks_stay_free():
  # 30,000 small holes and one of 64 MB, each between blocks in use.
  script = """if True:
    import ctypes
    from jnas.training import memory
    memory.keep_freed_memory()
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = libc.free.argtypes = [ctypes.c_size_t]
    libc.mallinfo2.restype = memory._MallocInfo
    holes = []
    for size in [40_000] * 30_000 + [64_000_000]:
      holes.append(libc.malloc(size))
      libc.malloc(2000)
    for hole in holes:
      libc.free(hole)
    print(libc.mallinfo2().fordblks)
    memory._trim_after_compiling(memory._COMPILED, 10.0)
    memory._trim_after_compiling(memory._COMPILED, 10.0)
    print(libc.mallinfo2().fordblks, libc.malloc(64_000_000) == holes[-1])
  """
  done = subprocess.run(
    [sys.executable, "-c", script],
    env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
    capture_output=True,
    text=True,
    check=True,
  )
  before, after, same_place = done.stdout.split()
  # About an eighth of each small hole is left over.
  assert int(before) - int(after) > 0.8 * 30_000 * 40_000
  assert int(after) > 64_000_000
  assert same_place == "True"
