"""Several processes as one run: the first one reads, writes and decides.

All processes compute the same steps on arrays that they share. Whatever might
differ between them (a file, the clock, a signal) is asked of one of them and
told to the others, so that all do the same and none waits in vain.

What they tell each other goes through the devices of the run, in the same
order in every process, by the same reduction over all devices as in a step:
connections between the processes are made once, when the first is told.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from jnas.data import placing
from jnas.training import sharding

Value = TypeVar("Value")
# Messages are padded to a multiple, so that few sizes are compiled.
_BLOCK = 4096


class FirstFailedError(Exception):
  """The first process failed in what it does for all, and says so itself."""

  def __init__(self, *, bad_input: bool) -> None:
    super().__init__("the first process failed")
    self.bad_input = bad_input


def several() -> bool:
  """Whether this process is one of several of a run."""
  return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
  """Whether this process is the one that reads, writes and speaks."""
  return not several() or jax.process_index() == 0


def from_first(function: Callable[[], Value]) -> Value:
  """What a function gives in the first process; the others do not call it.

  Args:
    function: gives a value that JSON can hold.

  Raises:
    FirstFailedError: in the others, if it raises in the first.
  """
  if not several():
    return function()
  message, failure = {}, None
  if is_first():
    try:
      message = {"value": function()}
    except Exception as error:
      failure = error
      bad_input = isinstance(error, ValueError | FileNotFoundError)
      message = {"bad_input": bad_input}
  text = json.dumps(message).encode()
  text = text.ljust(-(-len(text) // _BLOCK) * _BLOCK)
  length = np.asarray([len(text)], np.int64).view(np.uint8)
  (size,) = bytes_from_first(length).view(np.int64)
  content = np.frombuffer(text, np.uint8)
  told = json.loads(bytes_from_first(content, size=int(size)).tobytes())
  if failure is not None:
    raise failure
  if "bad_input" in told:
    raise FirstFailedError(bad_input=told["bad_input"])
  return told["value"]


def bytes_from_first(
  content: np.ndarray, *, size: int | None = None
) -> np.ndarray:
  """The `[N]` uint8 of the first process, in all of them.

  Args:
    content: what to tell; only the first one's counts.
    size: N; by default that of `content`.
  """
  if not several():
    return content
  row = content if is_first() else np.zeros(size or len(content), np.uint8)
  return np.asarray(jax.device_get(_largest(row)))


class Ballot:
  """Wishes of all processes, counted while the next step runs.

  In one process the outcome is there at once. In several it is that of the
  call before, for which none has to wait; the first outcome is that no one
  wishes anything.
  """

  def __init__(self) -> None:
    self._counted: jax.Array | None = None

  def cast(self, *wishes: bool) -> tuple[bool, ...]:
    """Which of the wishes some process has; call it equally often in all."""
    if not several():
      return wishes
    now = _largest(np.asarray(wishes, np.uint8))
    before, self._counted = self._counted, now
    if before is None:
      return tuple(False for _ in wishes)
    return tuple(bool(wish) for wish in jax.device_get(before))


def wished_by_any(wish: bool) -> bool:
  """Whether some process wishes it; waits for all of them."""
  if not several():
    return wish
  return bool(jax.device_get(_largest(np.asarray([wish], np.uint8)))[0])


def _largest(row: np.ndarray) -> jax.Array:
  """The largest of all processes' values, `[N]`, on every device."""
  mesh = sharding.make_mesh()
  rows = placing.from_local(
    row[None], (mesh.size, len(row)), sharding.split(mesh)
  )
  return sharding.wait(_reduction(mesh)(rows))


_reductions: dict[Any, Callable[[jax.Array], jax.Array]] = {}


def _reduction(mesh: jax.sharding.Mesh) -> Callable[[jax.Array], jax.Array]:
  if mesh not in _reductions:
    _reductions[mesh] = jax.jit(
      lambda rows: rows.max(axis=0), out_shardings=sharding.replicated(mesh)
    )
  return _reductions[mesh]
