"""Pieces of work that need nothing of each other, several at once.

Networks as small as those of the claims leave a second core half idle; two
that train at once, each on a core of its own, are done sooner than one after
the other on both.
"""

import multiprocessing.connection
import os
import pathlib
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from jnas.pipeline import display, stage
from jnas.training import memory, preemption

# How often who waits for a job looks whether a signal came.
_LOOK_SECONDS = 0.5
# More at a time would need more memory than many machines have.
_MOST_AT_ONCE = 8


class Job(NamedTuple):
  """A piece of work.

  Attributes:
    name: for messages, and of the file with what it prints.
    arguments: of the function that does it.
    after: name of another that has to be done first; None for none.
  """

  name: str
  arguments: tuple[Any, ...]
  after: str | None = None


def default_at_once() -> int:
  """One job for each core up to eight; one where an accelerator is shared."""
  return min(len(_cores()), _MOST_AT_ONCE) if _on_cpu() else 1


def check(at_once: int) -> None:
  """Refuses a number of jobs.

  Raises:
    ValueError: if it is not positive, more than there are cores, or more than
      one where the cores are not what computes.
  """
  most = len(_cores()) if _on_cpu() else 1
  if not 1 <= at_once <= most:
    raise ValueError(
      f"{at_once} jobs at once on {jax.default_backend()}; here it must be "
      + ("1" if most == 1 else f"from 1 to {most}, the number of cores")
    )


def run(
  function: Callable[..., Any],
  jobs: Sequence[Job],
  *,
  at_once: int,
  logs: pathlib.Path,
) -> list[Any]:
  """Does all jobs, each in a process of its own with its share of the cores.

  Args:
    function: of a module; it, its arguments and what it returns can be
      pickled.
    jobs: what to do, begun in this order, but for those that wait for another.
    at_once: processes at a time.
    logs: folder for what each job prints, NAME.log.

  Returns:
    What the function returned, job by job.

  Raises:
    ValueError: if a job waits for one that is not among them.
    stage.Stopped: if a signal asked to stop, once every job has stopped.
    Exception: what the first job that failed raised, likewise.
    RuntimeError: if a job's process was ended from outside.
  """
  if not jobs:
    return []
  names = {job.name for job in jobs}
  for job in jobs:
    if job.after is not None and job.after not in names:
      raise ValueError(f"{job.name} waits for {job.after!r}, which is no job")
  logs.mkdir(parents=True, exist_ok=True)
  waiting = list(jobs)
  returned: dict[str, Any] = {}
  failure: Exception | None = None
  with (
    preemption.StopFlag() as stop,
    _Crew(function, at_once, logs, stop) as crew,
    display.progress("jobs", len(jobs)) as progress,
  ):
    progress.update(0)  # from now on it knows how long a job takes
    while crew.working or (waiting and not crew.stopping):
      while crew.has_room and (job := _ready(waiting, returned)):
        waiting.remove(job)
        crew.begin(job)
      for name, result in crew.ended():
        if isinstance(result, stage.Stopped):
          crew.stop()
        elif isinstance(result, Exception):
          display.warn(f"{name} failed; what it printed: {logs / name}.log")
          failure = failure or result
          crew.stop()
        else:
          returned[name] = result
          progress.update(len(returned))
  if failure is not None:
    raise failure
  if crew.stopping:
    raise stage.Stopped("stopped; the same command continues")
  return [returned[job.name] for job in jobs]


def _ready(waiting: Sequence[Job], done: Mapping[str, Any]) -> Job | None:
  """The first that need not wait for another, None where all must."""
  ready = (job for job in waiting if job.after is None or job.after in done)
  return next(ready, None)


class _Working(NamedTuple):
  """A job under way.

  Attributes:
    name: of the job.
    process: that does it.
    cores: that the process has.
    began: when, by the monotonic clock.
  """

  name: str
  process: Any
  cores: list[int]
  began: float


class _Crew:
  """Processes at work, each on its own cores; none outlives a `with` block."""

  def __init__(
    self,
    function: Callable[..., Any],
    size: int,
    logs: pathlib.Path,
    flag: preemption.StopFlag,
  ) -> None:
    cores = _cores()
    # As many for each: bits depend on how many a job has.
    share = len(cores) // size
    self._function = function
    self._logs = logs
    self._flag = flag
    self._idle = [cores[i * share : (i + 1) * share] for i in range(size)]
    self._working: dict[multiprocessing.connection.Connection, _Working] = {}
    self._context = multiprocessing.get_context("spawn")
    self.stopping = False

  def __enter__(self) -> "_Crew":
    return self

  def __exit__(self, *_: object) -> None:
    for job in self._working.values():  # where an error ended the block
      job.process.terminate()
    for job in self._working.values():
      job.process.join()

  @property
  def working(self) -> bool:
    """Whether a job is under way."""
    return bool(self._working)

  @property
  def has_room(self) -> bool:
    """Whether another job may begin."""
    return bool(self._idle) and not self.stopping

  def begin(self, job: Job) -> None:
    """Begins a job."""
    cores = self._idle.pop()
    ours, theirs = self._context.Pipe(duplex=False)
    process = self._context.Process(
      target=_work,
      args=(
        self._function,
        job.arguments,
        cores,
        self._logs / f"{job.name}.log",
        jax.config.values["jax_compilation_cache_dir"],
        theirs,
      ),
      daemon=True,
    )
    process.start()
    theirs.close()
    self._working[ours] = _Working(job.name, process, cores, time.monotonic())

  def ended(self) -> list[tuple[str, Any]]:
    """Waits a little; jobs that ended, with what they returned or raised."""
    ready = multiprocessing.connection.wait(
      list(self._working), timeout=_LOOK_SECONDS
    )
    if self._flag.wanted:
      self.stop()  # before a job that had the same signal counts as failed
    found = []
    for pipe in [pipe for pipe in self._working if pipe in ready]:
      job = self._working.pop(pipe)
      result = self._result(job, pipe)
      self._idle.append(job.cores)
      found.append((job.name, result))
      if not isinstance(result, Exception):
        seconds = display.duration(time.monotonic() - job.began)
        display.say(f"{job.name}: done in {seconds}")
    return found

  def stop(self) -> None:
    """Asks those at work to save and end; no other job begins."""
    if not self.stopping:
      self.stopping = True
      for job in self._working.values():
        job.process.terminate()

  def _result(self, job: _Working, pipe: Any) -> Any:
    """What a job sent before it ended."""
    try:
      result = pipe.recv()
    except (EOFError, OSError):
      result = None
    job.process.join()
    if result is not None:
      return result[0]
    if self.stopping or job.process.exitcode == -signal.SIGTERM:
      # Before it had begun, or where there is nothing to save.
      return stage.Stopped()
    return RuntimeError(
      f"the process of {job.name} ended with exit code {job.process.exitcode}"
    )


def _work(
  function: Callable[..., Any],
  arguments: tuple[Any, ...],
  cores: list[int],
  log: pathlib.Path,
  cache: str | None,
  pipe: multiprocessing.connection.Connection,
) -> None:
  """What the process of a job does."""
  memory.keep_freed_memory()
  threading.Thread(target=_end_with_parent, daemon=True).start()
  # Ctrl-C reaches all processes of a terminal; the first one passes it on.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  with log.open("ab") as file:
    for stream in (sys.stdout, sys.stderr):
      os.dup2(file.fileno(), stream.fileno())
  if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, cores)  # before JAX counts them
  jax.config.update("jax_compilation_cache_dir", cache)
  try:
    result = function(*arguments)
  except Exception as error:
    traceback.print_exc()
    result = _sendable(error)
  pipe.send((result,))


def _end_with_parent() -> None:
  """Ends this process when the one that began it is killed."""
  parent = multiprocessing.parent_process()
  if parent is not None:
    parent.join()
  os._exit(1)


def _sendable(error: Exception) -> Exception:
  """The error, or one that says the same, if it cannot be pickled."""
  try:
    pickle.loads(pickle.dumps(error))
  except Exception:
    return RuntimeError(str(error))
  return error


def _on_cpu() -> bool:
  return jax.default_backend() == "cpu"


def _cores() -> list[int]:
  """The cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))
