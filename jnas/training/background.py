"""One piece of work at a time beside the training, and what it has taken."""

import concurrent.futures
from collections.abc import Callable
from typing import Any, NamedTuple


class Times(NamedTuple):
  """What saving has taken.

  Attributes:
    saves: checkpoints written.
    num_bytes: of the state in each.
    write_s: seconds of writing, all together, beside the training.
    wait_s: seconds that the training waited for it.
  """

  saves: int = 0
  num_bytes: int = 0
  write_s: float = 0.0
  wait_s: float = 0.0

  def __str__(self) -> str:
    saves = max(self.saves, 1)
    return (
      f"{self.saves} checkpoint{'s' * (self.saves != 1)} of "
      f"{self.num_bytes / 1e6:.3g} MB saved, each in "
      f"{self.write_s / saves:.2f} s beside the training, which waited "
      f"{self.wait_s / saves:.3f} s"
    )


class Background:
  """A thread that does one thing after another.

  What a thing raises is raised by the next `start` or `finish`.
  """

  def __init__(self) -> None:
    self._thread = concurrent.futures.ThreadPoolExecutor(1)
    self._under_way: concurrent.futures.Future | None = None

  def start(self, function: Callable[..., None], *args: Any) -> None:
    """Begins something; what is under way must be finished."""
    assert self._under_way is None
    self._under_way = self._thread.submit(function, *args)

  def finish(self) -> None:
    """Waits for what is under way, and raises what that raises."""
    under_way, self._under_way = self._under_way, None
    if under_way is not None:
      under_way.result()

  def settle(self) -> None:
    """Waits for what is under way, and leaves what it raises for later."""
    if self._under_way is not None:
      concurrent.futures.wait([self._under_way])

  def failed(self) -> bool:
    """Whether what was begun last has raised something already."""
    begun = self._under_way
    return begun is not None and begun.done() and bool(begun.exception())

  def close(self) -> BaseException | None:
    """Waits, ends the thread, and returns what was still to be raised."""
    under_way, self._under_way = self._under_way, None
    self._thread.shutdown()
    return None if under_way is None else under_way.exception()
