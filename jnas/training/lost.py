"""One line, and an end, when another process of a run is lost.

JAX watches over the processes by heartbeats, and aborts those that are left
from a thread of its own, with pages of text that Python cannot catch. So what
is not Python's goes to a file in memory instead of stderr, and the abort is
answered here: with one line, or with that file where it was something else.
"""

import ctypes
import os
import signal
import sys
from typing import NoReturn

import jax

LINE = (
  "another process of this run was killed, or failed; the same command goes on "
  "from the last checkpoint"
)
# In what XLA says of a process that does not answer any more.
_SIGNS = (
  "Gloo",
  "NCCL",
  "UNAVAILABLE",
  "JAX distributed service",
  "coordination service",
)
_EXIT = 1
# File descriptors, and what keeps the handler alive.
_stderr, _log = 2, -1
_handlers: list[object] = []


def stderr() -> int:
  """The file descriptor at which people read."""
  return _stderr


def watch() -> None:
  """Has this process end with one line if another one is lost.

  Call it once, before JAX connects to the other processes. Without Linux's
  files in memory JAX's own text appears instead.
  """
  global _stderr, _log
  if _handlers or not hasattr(os, "memfd_create"):
    return
  sys.stderr.flush()
  _stderr, _log = os.dup(2), os.memfd_create("stderr")
  os.dup2(_log, 2)
  sys.stderr = os.fdopen(_stderr, "w", buffering=1, closefd=False)
  handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(_on_abort)
  _handlers.append(handler)
  libc = ctypes.CDLL(None)
  libc.signal.restype = ctypes.c_void_p
  libc.signal(int(signal.SIGABRT), handler)


def is_sign(error: BaseException) -> bool:
  """Whether an error says that another process is lost."""
  return jax.distributed.is_initialized() and any(
    sign in str(error) for sign in _SIGNS
  )


def end() -> NoReturn:
  """Ends the process at once: the others cannot be waited for."""
  os.write(_stderr, f"jnas: error: {LINE}\n".encode())
  os._exit(_EXIT)


def _on_abort(_: int) -> None:
  text = os.pread(_log, os.fstat(_log).st_size, 0)
  if any(sign.encode() in text for sign in _SIGNS):
    end()
  os.write(_stderr, text)
  os._exit(_EXIT)
