"""What a compiled step needs, known before it runs, and what a process took."""

import ctypes
import pathlib
import re
import resource
import sys

import jax

# `  ROOT %add.3 = f32[8]{0} add(...)`, in every computation of a module.
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = ", re.MULTILINE)

# Parameters of mallopt, from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


# Recorded by JAX after a program was compiled or read from the cache; a
# program that takes longer, in seconds, is a large one, or a very large one.
_COMPILED = "/jax/core/compile/backend_compile_duration"
_LONG, _VERY_LONG = 0.3, 5.0

# Free blocks; those of a process that compiles nothing itself are fewer.
_MANY_HOLES = 20_000

# Bytes. malloc keeps smaller blocks apart by their size and need not search;
# larger ones than a small hole are few, and fit for temporaries.
_SMALLEST_HOLE, _SMALL_HOLE, _LARGEST_HOLE = 1 << 15, 1 << 22, 1 << 30


def keep_freed_memory() -> bool:
  """Makes programs on CPU use the same memory again, for the whole process.

  XLA on CPU allocates the temporaries of a program anew in every run. By
  default glibc maps them from the system and unmaps them after, and each
  page faults again in each step. And a program starts when the one before has
  its results ready, while its temporaries may not be free yet: then both have
  theirs at once. So programs on CPU run in the calling thread, one by one.

  Call it before threads start and before JAX runs anything.

  Returns:
    Whether freed memory is kept; False where the C library is not glibc.
  """
  jax.config.update("jax_cpu_enable_async_dispatch", False)
  if not sys.platform.startswith("linux"):
    return False
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
  if mallopt is None:
    return False
  # One arena: the others give large blocks back whatever the thresholds.
  settings = {_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1}
  if not all(mallopt(name, value) == 1 for name, value in settings.items()):
    return False
  jax.monitoring.register_event_duration_secs_listener(_trim_after_compiling)
  return True


def _trim_after_compiling(
  event: str, duration_secs: float, **_: object
) -> None:
  """Gives back what is free once a large program has been compiled.

  What the compiler keeps lies scattered where temporaries had been: these
  find no place large enough there any more, and would take another. Where a
  very large program leaves many holes, these are filled.
  """
  if event == _COMPILED and duration_secs > _LONG:
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    if duration_secs > _VERY_LONG and hasattr(libc, "mallinfo2"):
      _fill_holes(libc)


class _MallocInfo(ctypes.Structure):
  """`struct mallinfo2`, from malloc.h."""

  _NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks"
  _fields_ = [(name, ctypes.c_size_t) for name in (*_NAMES.split(), "keepcost")]


def _fill_holes(libc: ctypes.CDLL) -> None:
  """Takes the small free blocks that lie between others, for good.

  A compiler leaves a hundred thousand of them. malloc looks through those of
  about the right size for each block it hands out, and the kernels of matrix
  products ask for one in every call: steps took half as long again in the
  process that had compiled them as in one that read them from the cache.
  Their pages are given back already; what is taken are addresses.
  """
  libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
  libc.malloc.argtypes = [ctypes.c_size_t]
  libc.free.argtypes = libc.malloc_usable_size.argtypes = [ctypes.c_void_p]
  libc.malloc_usable_size.restype = ctypes.c_size_t
  libc.sbrk.argtypes = [ctypes.c_ssize_t]
  libc.mallinfo2.restype = _MallocInfo
  info = libc.mallinfo2()
  if info.ordblks < _MANY_HOLES:
    return
  # From here on nothing is in use yet: what begins below fills a hole.
  top = libc.sbrk(0) - info.keepcost

  def take(size: int) -> int | None:
    block = libc.malloc(size)
    if block is not None and block < top:
      return block
    libc.free(block)
    return None

  # Large holes are held meanwhile, with what is left over of each.
  held, held_to = [], set()
  size = min(info.fordblks - info.keepcost, _LARGEST_HOLE)
  while size >= _SMALLEST_HOLE:
    while (block := take(size)) is not None:
      if size > _SMALL_HOLE or block in held_to:
        held.append(block)
        held_to.add(
          block
          + libc.malloc_usable_size(block)
          + ctypes.sizeof(ctypes.c_void_p)
        )
    size = size * 7 // 8  # about an eighth of a hole is left over
  for block in held:
    libc.free(block)
  libc.malloc_trim(0)  # looking for large holes has moved the end of the heap


def compiled_peak_bytes(compiled: jax.stages.Compiled) -> int:
  """Bytes a compiled program holds at most, on one device.

  Its arguments, results and temporaries all at once; a result in the place of
  a donated argument counts once.

  Raises:
    ValueError: the backend does not analyse memory.
  """
  stats = compiled.memory_analysis()
  if stats is None:
    raise ValueError("this backend has no memory analysis of compiled programs")
  return (
    stats.argument_size_in_bytes
    + stats.output_size_in_bytes
    + stats.temp_size_in_bytes
    - stats.alias_size_in_bytes
  )


def rss_peak_bytes() -> int:
  """The most memory this process has had resident so far."""
  status = pathlib.Path("/proc/self/status")
  if status.exists():
    if peak := re.search(r"VmHWM:\s+(\d+) kB", status.read_text()):
      return int(peak[1]) * 1024
  # On Linux this would start from the peak of the program that started us.
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak if sys.platform == "darwin" else peak * 1024


def instruction_count(compiled: jax.stages.Compiled) -> int:
  """Instructions in the optimised program, those inside fusions included."""
  return len(_INSTRUCTION.findall(compiled.as_text() or ""))


def flops(compiled: jax.stages.Compiled) -> float:
  """Floating-point operations of one run, as XLA counts them.

  A multiply-add is two. The body of a loop counts once, and work in native
  kernels not at all.
  """
  analysis = compiled.cost_analysis()
  return float(analysis["flops"]) if analysis and "flops" in analysis else 0.0
