"""What a person sees while a stage runs: progress with ETA, lines, warnings.

Everything goes to stderr; stdout is for results that scripts read.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

import rich.console
import rich.progress

CONSOLE = rich.console.Console(stderr=True, soft_wrap=True, highlight=False)
# Where nobody watches a progress bar, a line this often says how far it is.
_LINE_SECONDS = 30.0


class Progress:
  """A bar with steps, ETA and the latest loss; lines where no terminal is."""

  def __init__(self, bar: rich.progress.Progress, title: str, total: int):
    self._bar = bar
    self._title = title
    self._total = total
    self._task = bar.add_task(title, total=total, loss="")
    self._began: tuple[float, int] | None = None
    self._last_line = time.monotonic()

  def update(self, step: int, loss: float | None = None) -> None:
    """Shows that `step` steps are done."""
    said = "" if loss is None else f"loss {loss:.3f}"
    self._bar.update(self._task, completed=step, loss=said)
    now = time.monotonic()
    if self._began is None:
      self._began = (now, step)
    if CONSOLE.is_terminal or now - self._last_line < _LINE_SECONDS:
      return
    began, first = self._began
    left = (now - began) / max(step - first, 1) * (self._total - step)
    CONSOLE.print(
      f"{self._title}: step {step} of {self._total}, "
      f"{said and f'{said}, '}{duration(left)} left"
    )
    self._last_line = now


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Progress]:
  """Shows a progress bar for the length of a `with` block."""
  columns = (
    rich.progress.TextColumn("{task.description}"),
    rich.progress.BarColumn(),
    rich.progress.MofNCompleteColumn(),
    rich.progress.TextColumn("{task.fields[loss]}"),
    rich.progress.TimeElapsedColumn(),
    rich.progress.TextColumn("ETA"),
    rich.progress.TimeRemainingColumn(elapsed_when_finished=False),
  )
  bar = rich.progress.Progress(
    *columns, console=CONSOLE, disable=not CONSOLE.is_terminal
  )
  with bar:
    yield Progress(bar, title, total)


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
  """Shows that something without steps is under way, a compilation say."""
  began = time.monotonic()
  if CONSOLE.is_terminal:
    with CONSOLE.status(what):
      yield
  else:
    # Only what turns out to take long is worth a line.
    timer = threading.Timer(5.0, CONSOLE.print, args=(f"{what} ...",))
    timer.daemon = True
    timer.start()
    try:
      yield
    finally:
      timer.cancel()
  seconds = time.monotonic() - began
  if seconds > 5.0:
    CONSOLE.print(f"{what}: {duration(seconds)}")


def say(line: str) -> None:
  """Prints one line."""
  CONSOLE.print(line, markup=False)


def warn(line: str) -> None:
  """Prints one line that should not be missed."""
  CONSOLE.print(f"warning: {line}", style="yellow", markup=False)


def duration(seconds: float) -> str:
  """A time as people say it."""
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f"{hours} h {minutes} min"
  return f"{minutes} min {rest} s" if minutes else f"{rest} s"
