"""Checkpoints of a training state: Orbax behind one class.

A checkpoint holds one pytree of arrays and one JSON header with the step, the
config's hash, versions, the caller's `meta`, and name, type, shape and checksum
of every leaf. The newest ones are kept, and the best one if they have scores.

The state is copied when it is saved and written while training goes on: by one
thread, in the order of the saves, each of which waits for the one before. So
what is on disk is never more than one save behind, and whole.
"""

import importlib.metadata
import itertools
import logging
import math
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jnas.training import background, checkpoint_files, packing, processes
from jnas.types import PyTree

_FORMAT = 1
_PACKAGES = ("jnas", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
SaveError = checkpoint_files.SaveError


class CheckpointError(RuntimeError):
  """There are checkpoints, and none of them can be read."""


class Restored(NamedTuple):
  """What a checkpoint gives back.

  Attributes:
    step: the step it was saved under.
    state: a pytree of the target's structure, bit for bit as saved.
    meta: the dictionary given to `save`.
    versions: package versions it was saved with.
    seconds: that reading it took.
  """

  step: int
  state: PyTree
  meta: dict[str, Any]
  versions: dict[str, str]
  seconds: float


class Checkpoints:
  """The checkpoints of one stage, in one folder.

  Nothing is created or changed before the first `save`, so a later stage may
  read an earlier stage's folder. Use it in a `with` statement or call `close`.

  Of several processes only the first one touches the folder, which the others
  need not see; all of them must save and restore at the same steps.
  """

  def __init__(
    self, folder: pathlib.Path, *, config_hash: str, keep: int
  ) -> None:
    if keep < 1:
      raise ValueError(f"keep is {keep}; at least 1 checkpoint must be kept")
    self._folder = pathlib.Path(folder).absolute()
    self._files = checkpoint_files.Files(self._folder)
    self._config_hash = config_hash
    self._keep = keep
    self._damaged: list[int] = []
    self._current: int | None = None  # the step last saved or restored
    self._best: tuple[float, int] | None = None  # score and step
    self._best_is_known = False
    self._writer = background.Background()
    self._written = background.Times()
    self._waited_s = 0.0
    # Trouble reaches the user as one line from here, not as Orbax's log.
    logging.getLogger("absl").addFilter(_is_not_orbax)

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
    try:
      if kind is None:
        self.wait()
    finally:
      self.close()

  def close(self) -> None:
    """Finishes the last save, and gives up threads and files.

    Unlike `wait` it raises nothing, but tells of a save that failed: it is for
    the end of a run that has failed already, in one process perhaps.
    """
    if error := self._writer.close():
      _tell(f"jnas: error: {error}")
    self._files.close()

  @property
  def times(self) -> background.Times:
    """What saving has taken so far."""
    return self._written._replace(wait_s=self._waited_s)

  def latest_step(self) -> int | None:
    """The newest committed step, whole or damaged; None if there is none."""
    self._writer.settle()
    return max(self._files.steps(), default=None)

  def save(
    self,
    step: int,
    state: PyTree,
    meta: Mapping[str, Any],
    *,
    score: float | None = None,
  ) -> None:
    """Saves a state, which may be donated when this returns.

    It is on disk when `wait` or the next `save` returns; until then a kill
    leaves the checkpoints before it. Saving again the step just saved or
    restored does nothing: a step names one state.

    Args:
      step: at least 0, larger than every step saved before.
      state: a pytree of jax arrays of any structure and type, typed random
        keys excepted: store their `jax.random.key_data`.
      meta: what else resuming needs, as JSON values.
      score: of the state; the checkpoint with the highest, of equal ones the
        first, is kept beside the newest ones.

    Raises:
      SaveError: the save before could not be written, as on a full disk;
        checkpoints that were there are intact.
    """
    step = int(step)
    if step == self._current:
      return
    began = time.monotonic()
    self._in_first(lambda: self._begin(step, state, meta, score))
    self._current = step
    self._waited_s += time.monotonic() - began

  def wait(self) -> None:
    """Waits until all that was saved is on disk.

    Raises:
      SaveError: as for `save`.
    """
    self._in_first(self._writer.finish)

  def failed(self) -> bool:
    """Whether a save is known to have failed: `save` and `wait` say why."""
    return self._writer.failed()

  def _in_first(self, function: Any) -> None:
    try:
      processes.from_first(function)
    except Exception:
      self._current = None  # what it names is not on disk
      raise

  def _begin(
    self,
    step: int,
    state: PyTree,
    meta: Mapping[str, Any],
    score: float | None,
  ) -> None:
    self._writer.finish()
    newest = max(set(self._files.steps()) - set(self._damaged), default=-1)
    if step <= newest:
      raise ValueError(
        f"step {step} is not after step {newest} in {self._folder}: restore "
        "that one first, or remove the folder to start again"
      )
    kinds, content = packing.collect(state)
    header = {
      "format": _FORMAT,
      "step": step,
      "config_hash": self._config_hash,
      "versions": versions(),
      "meta": dict(meta),
      "score": score if score is not None and math.isfinite(score) else None,
    }
    self._writer.start(self._write, step, kinds, content, header)

  def _write(
    self,
    step: int,
    kinds: list[packing.Kind],
    content: np.ndarray,
    header: dict[str, Any],
  ) -> None:
    """In the thread: the checksums, the files, and an end to old ones."""
    began = time.monotonic()
    if not self._best_is_known:
      for old in sorted(set(self._files.steps()) - set(self._damaged)):
        self._compare(old, self._score(old))
      self._best_is_known = True
    header["leaves"] = packing.table(kinds, content)
    while self._damaged:
      self._files.delete(self._damaged[-1])
      self._damaged.pop()
    self._files.write(step, content, header)
    self._compare(step, header["score"])
    steps = sorted(self._files.steps())
    for old in steps[: -self._keep]:
      if self._best is None or old != self._best[1]:
        self._files.delete(old)
    self._written = background.Times(
      saves=self._written.saves + 1,
      num_bytes=content.nbytes,
      write_s=self._written.write_s + time.monotonic() - began,
    )

  def _compare(self, step: int, score: float | None) -> None:
    if score is not None and (self._best is None or score > self._best[0]):
      self._best = score, step

  def _score(self, step: int) -> float | None:
    try:
      return self._files.read_header(step).get("score")
    except packing.DamagedError:
      return None

  def restore(self, target: PyTree, *, best: bool = False) -> Restored | None:
    """Reads the newest checkpoint that is whole; None where there is none.

    The leaves are placed as the target says, on any number of devices.

    Args:
      target: a pytree of `jax.ShapeDtypeStruct` with shardings, or of arrays.
      best: whether to read the one of the highest score instead. A run does
        not go on from it.

    Raises:
      ValueError: the checkpoint is of another config, or of another state.
      CheckpointError: there are checkpoints and none is whole; or the best is
        wanted, and damage or a lack of scores hides which one it is.
    """
    self.wait()
    began = time.monotonic()
    header, leaves = self._read_whole(packing.kinds(target), best=best)
    if header is None:
      return None
    self._current = header["step"]
    state = packing.place(leaves, target)
    return Restored(
      header["step"],
      state,
      header["meta"],
      header["versions"],
      time.monotonic() - began,
    )

  def arrays(self) -> dict[str, np.ndarray] | None:
    """The newest checkpoint that is whole, by path; None where there is none.

    For who wants part of a state that another network had.

    Raises:
      ValueError: the checkpoint is of another config.
      CheckpointError: there are checkpoints and none is whole.
    """
    header, leaves = self._read_whole(None, best=False)
    if header is None:
      return None
    kinds = packing.table_kinds(header["leaves"])
    return {k.name: leaf for k, leaf in zip(kinds, leaves, strict=True)}

  def _read_whole(
    self, wanted: list[packing.Kind] | None, *, best: bool
  ) -> tuple[dict[str, Any] | None, list[np.ndarray]]:
    """What the first process reads, in all of them."""
    leaves: list[np.ndarray] = []

    def read() -> dict[str, Any] | None:
      header, found = self._read_newest(wanted, best=best)
      leaves.extend(found)
      return header

    header = processes.from_first(read)
    if header is not None and processes.several():
      leaves = _from_first(leaves, header["leaves"])
    return header, leaves

  def _read_newest(
    self, wanted: list[packing.Kind] | None, *, best: bool
  ) -> tuple[dict[str, Any] | None, list[np.ndarray]]:
    """Header and leaves of the newest step that is whole, or of the best."""
    # Which state a resumed run starts from:
    # 1. A step that was not committed (the process died while saving it) does
    #    not exist.
    # 2. Committed steps are tried from the newest to the oldest.
    # 3. A step whose header does not match its seal is damaged. Nothing that
    #    a damaged header says is believed.
    # 4. A sound header of another config or another state stops the run with
    #    an error, whatever the older steps hold.
    # 5. A step with a leaf that does not match its checksum is damaged.
    # 6. The first step without damage is used. Damaged newer ones stay on disk
    #    until the resumed run saves, which removes them.
    # 7. No step at all means a new run; none but damaged ones, an error.
    self._damaged = []
    reasons = []
    steps = sorted(self._files.steps(), reverse=True)
    if best and steps:
      steps = [self._find_best(steps)]
    for step in steps:
      try:
        header = self._files.read_header(step)
        self._check_header(step, header, wanted)
        leaves = self._files.read_leaves(step, header["leaves"])
      except packing.DamagedError as error:
        self._damaged.append(step)
        reasons.append(f"step {step} ({error})")
        continue
      if reasons:
        _tell(
          f"damaged checkpoint in {self._folder}: {', '.join(reasons)}; "
          f"going on from step {step}, the last good one"
        )
      return header, leaves
    if reasons:
      raise CheckpointError(
        f"no checkpoint in {self._folder} can be read: {', '.join(reasons)}; "
        "remove that folder to start this stage again"
      )
    return None, []

  def _find_best(self, steps: list[int]) -> int:
    """The step of the highest score, of equal ones the first."""
    scores = {}
    for step in sorted(steps):
      try:
        scores[step] = self._files.read_header(step).get("score")
      except packing.DamagedError as error:
        raise CheckpointError(
          f"which checkpoint in {self._folder} is the best is not known: that "
          f"of step {step} is damaged ({error})"
        ) from error
    rated = {step: score for step, score in scores.items() if score is not None}
    if not rated:
      raise CheckpointError(f"no checkpoint in {self._folder} has a score")
    return max(rated, key=lambda step: rated[step])

  def _check_header(
    self, step: int, header: dict[str, Any], wanted: list[packing.Kind] | None
  ) -> None:
    """Refuses a checkpoint of another format, config or state, if wanted."""
    where = f"the checkpoint of step {step} in {self._folder}"
    saved_by = f"it was saved by jnas {header['versions']['jnas']}"
    if header["format"] != _FORMAT:
      raise ValueError(
        f"{where} has format {header['format']}, not {_FORMAT}; {saved_by}"
      )
    if header["config_hash"] != self._config_hash:
      raise ValueError(
        f"{where} is of config {header['config_hash']}, and this config is "
        f"{self._config_hash}; use that config, with the version of jnas "
        "that it began with, or another workdir"
      )
    if wanted is None:
      return
    saved = packing.table_kinds(header["leaves"])
    for was, now in itertools.zip_longest(saved, wanted):
      if was != now:
        raise ValueError(
          f"{where} is of another state: it has {was or 'no more leaves'} "
          f"where {now or 'nothing'} is expected; {saved_by}"
        )


def check_writable(folder: pathlib.Path) -> None:
  """Raises ValueError if files cannot be made in a folder, present or not.

  Leaves nothing behind: a folder that is missing stays so, and its nearest
  existing parent is tried.
  """
  parent = checkpoint_files.existing(pathlib.Path(folder).absolute())
  if not parent.is_dir():
    raise ValueError(f"cannot write to {folder}: {parent} is not a folder")
  try:
    with tempfile.TemporaryFile(dir=parent) as file:
      file.write(bytes(4096))
  except OSError as error:
    raise ValueError(
      f"cannot write to {folder}: {error.strerror} in {parent}"
    ) from error


def versions() -> dict[str, str]:
  """Versions of jnas and of the packages that decide what it computes."""
  found = {}
  for name in _PACKAGES:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      found[name] = "not installed"  # jnas run from its source folder
  return found


def _from_first(
  leaves: list[np.ndarray], table: list[list]
) -> list[np.ndarray]:
  """The leaves that the first process has read, in all of them."""
  content = np.zeros(0, np.uint8)
  if processes.is_first():
    content = packing.join(leaves)
  content = processes.bytes_from_first(
    content, size=packing.content_size(table)
  )
  return packing.unpack(content, table)


def _is_not_orbax(record: logging.LogRecord) -> bool:
  return f"{os.sep}orbax{os.sep}" not in record.pathname


def _tell(line: str) -> None:
  print(line, file=sys.stderr, flush=True)
