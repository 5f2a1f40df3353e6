"""Checkpoints of a training state: Orbax behind one class.

A checkpoint holds one pytree of arrays and one JSON header with the step, the
config's hash, versions, the caller's `meta`, and name, type, shape and checksum
of every leaf. Orbax commits a step whole or not at all and keeps the newest
ones; it does not notice a flipped byte in array data, so each leaf is checked
here when it is read.

The leaves travel as one array of bytes (`packing.py`). A search state has
thousands of small ones and Orbax spends milliseconds on each: 4,000 leaves of
8 MB in all took 10 s to save one by one. 2,000 leaves of 8 MB take 0.3 s this
way, little enough to save in the foreground, where a failure is simple.
"""

import errno
import importlib.metadata
import itertools
import json
import logging
import os
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import orbax.checkpoint as ocp

from jnas.training import packing, processes
from jnas.types import PyTree

_FORMAT = 1
_PACKAGES = ("jnas", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
# What Orbax raises on a damaged checkpoint, found by flipping, cutting and
# removing bytes and files throughout: it parses JSON, passes on what
# TensorStore says (ValueError), and trips over fields missing or odd.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)


class CheckpointError(RuntimeError):
  """There are checkpoints, and none of them can be read."""


class SaveError(OSError):
  """A checkpoint could not be written; `errno` says why where it is known."""


class Restored(NamedTuple):
  """What a checkpoint gives back.

  Attributes:
    step: the step it was saved under.
    state: a pytree of the target's structure, bit for bit as saved.
    meta: the dictionary given to `save`.
    versions: package versions it was saved with.
  """

  step: int
  state: PyTree
  meta: dict[str, Any]
  versions: dict[str, str]


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
    self._config_hash = config_hash
    self._keep = keep
    self._manager: ocp.CheckpointManager | None = None
    self._damaged: list[int] = []
    self._current: int | None = None  # the step last saved or restored
    # Trouble reaches the user as one line from here, not as Orbax's log.
    logging.getLogger("absl").addFilter(_is_not_orbax)

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def close(self) -> None:
    """Gives up threads and files."""
    if self._manager is not None:
      self._manager.close()
      self._manager = None

  def latest_step(self) -> int | None:
    """The newest committed step, whole or damaged; None if there is none."""
    return max(self._steps(), default=None)

  def save(self, step: int, state: PyTree, meta: Mapping[str, Any]) -> None:
    """Saves a state; it is on disk when this returns.

    Saving again the step just saved or restored does nothing: a step names one
    state.

    Args:
      step: at least 0, larger than every step saved before.
      state: a pytree of jax arrays of any structure and type, typed random
        keys excepted: store their `jax.random.key_data`.
      meta: what else resuming needs, as JSON values.

    Raises:
      SaveError: the checkpoint could not be written, as on a full disk; those
        that were there are intact.
    """
    step = int(step)
    if step == self._current:
      return
    processes.from_first(lambda: self._save(step, state, meta))
    self._current = step

  def _save(self, step: int, state: PyTree, meta: Mapping[str, Any]) -> None:
    newest = max(set(self._steps()) - set(self._damaged), default=-1)
    if step <= newest:
      raise ValueError(
        f"step {step} is not after step {newest} in {self._folder}: restore "
        "that one first, or remove the folder to start again"
      )
    content, table = packing.pack(state)
    header = packing.seal(
      {
        "format": _FORMAT,
        "step": step,
        "config_hash": self._config_hash,
        "versions": versions(),
        "meta": dict(meta),
        "leaves": table,
      }
    )
    try:
      self._write(step, content, header)
    except (OSError, ValueError, RuntimeError) as error:
      num_bytes = content.nbytes + len(json.dumps(header))
      raise self._save_error(step, num_bytes, error) from error

  def restore(self, target: PyTree) -> Restored | None:
    """Reads the newest checkpoint that is whole; None where there is none.

    The leaves are placed as the target says, on any number of devices.

    Args:
      target: a pytree of `jax.ShapeDtypeStruct` with shardings, or of arrays.

    Raises:
      ValueError: the checkpoint is of another config, or of another state.
      CheckpointError: there are checkpoints and none is whole.
    """
    header, leaves = self._read_whole(packing.kinds(target))
    if header is None:
      return None
    self._current = header["step"]
    state = packing.place(leaves, target)
    return Restored(header["step"], state, header["meta"], header["versions"])

  def arrays(self) -> dict[str, np.ndarray] | None:
    """The newest checkpoint that is whole, by path; None where there is none.

    For who wants part of a state that another network had.

    Raises:
      ValueError: the checkpoint is of another config.
      CheckpointError: there are checkpoints and none is whole.
    """
    header, leaves = self._read_whole(None)
    if header is None:
      return None
    kinds = packing.table_kinds(header["leaves"])
    return {k.name: leaf for k, leaf in zip(kinds, leaves, strict=True)}

  def _read_whole(
    self, wanted: list[packing.Kind] | None
  ) -> tuple[dict[str, Any] | None, list[np.ndarray]]:
    """What the first process reads, in all of them."""
    leaves: list[np.ndarray] = []

    def read() -> dict[str, Any] | None:
      header, found = self._read_newest(wanted)
      leaves.extend(found)
      return header

    header = processes.from_first(read)
    if header is not None and processes.several():
      leaves = _from_first(leaves, header["leaves"])
    return header, leaves

  def _read_newest(
    self, wanted: list[packing.Kind] | None
  ) -> tuple[dict[str, Any] | None, list[np.ndarray]]:
    """Header and leaves of the newest step that is whole."""
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
    for step in sorted(self._steps(), reverse=True):
      try:
        header = self._read_header(step)
        self._check_header(step, header, wanted)
        leaves = self._read_leaves(step, header["leaves"])
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

  def _steps(self) -> list[int]:
    """Committed steps: Orbax names a folder so once it is complete."""
    if not self._folder.is_dir():
      return []
    names = [path.name for path in self._folder.iterdir() if path.is_dir()]
    return [int(name) for name in names if re.fullmatch("0|[1-9][0-9]*", name)]

  def _write(
    self, step: int, content: np.ndarray, header: dict[str, Any]
  ) -> None:
    if self._manager is None:
      self._folder.mkdir(parents=True, exist_ok=True)
      self._manager = ocp.CheckpointManager(
        self._folder,
        options=ocp.CheckpointManagerOptions(
          max_to_keep=self._keep,
          cleanup_tmp_directories=True,
          lightweight_initialize=True,
          enable_async_checkpointing=False,
          create=False,
          multiprocessing_options=_alone(),
        ),
      )
    while self._damaged:
      self._manager.delete(self._damaged[-1])
      self._damaged.pop()
    self._manager.save(
      step,
      args=ocp.args.Composite(
        header=ocp.args.JsonSave(header),
        state=ocp.args.StandardSave({"bytes": content}),
      ),
      force=True,
    )

  def _save_error(
    self, step: int, num_bytes: int, error: Exception
  ) -> SaveError:
    """One line from what Orbax raised; clears what the save left behind."""
    for partial in self._folder.glob(f"{step}.*"):
      shutil.rmtree(partial, ignore_errors=True)
    code = getattr(error, "errno", None)
    if found := re.search(r"os_error_code='(\d+)'", str(error)):
      code = int(found[1])  # TensorStore's error is a ValueError
    reason = os.strerror(code) if code else str(error).partition("\n")[0]
    if code in (errno.ENOSPC, errno.EDQUOT):
      free = shutil.disk_usage(_existing(self._folder)).free
      reason += f", {num_bytes:,} bytes needed, {free:,} free"
    newest = self.latest_step()
    rest = (
      "there is no earlier one"
      if newest is None
      else f"the one of step {newest} is intact, and the same command goes on "
      "from it"
    )
    failure = SaveError(
      f"cannot save the checkpoint of step {step} in {self._folder} "
      f"({reason}); {rest}"
    )
    failure.errno = code
    return failure

  def _read(self, step: int, **items: ocp.args.CheckpointArgs) -> Any:
    options = ocp.CheckpointManagerOptions(
      read_only=True,
      save_interval_steps=0,
      lightweight_initialize=True,
      create=False,
      multiprocessing_options=_alone(),
    )
    try:
      with ocp.CheckpointManager(self._folder, options=options) as manager:
        return manager.restore(step, args=ocp.args.Composite(**items))
    except _UNREADABLE as error:
      what = " ".join(items)
      raise packing.DamagedError(f"its {what} cannot be read") from error

  def _read_header(self, step: int) -> dict[str, Any]:
    read = self._read(step, header=ocp.args.JsonRestore())
    header = packing.open_seal(read.header)
    if header["step"] != step:
      raise packing.DamagedError(f"its header is of step {header['step']}")
    return header

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
        f"{self._config_hash}; use that config or another workdir"
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

  def _read_leaves(self, step: int, table: list[list]) -> list[np.ndarray]:
    target = np.zeros(packing.content_size(table), np.uint8)
    args = ocp.args.StandardRestore({"bytes": target})
    content = self._read(step, state=args).state["bytes"]
    if content.dtype != target.dtype or content.shape != target.shape:
      raise packing.DamagedError("its state has another size")
    return packing.unpack(content, table)


def check_writable(folder: pathlib.Path) -> None:
  """Raises ValueError if files cannot be made in a folder, present or not.

  Leaves nothing behind: a folder that is missing stays so, and its nearest
  existing parent is tried.
  """
  parent = _existing(pathlib.Path(folder).absolute())
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


def _alone() -> ocp.options.MultiprocessingOptions:
  """Has Orbax wait for no other process."""
  if not processes.several():
    return ocp.options.MultiprocessingOptions()
  return ocp.options.MultiprocessingOptions(
    primary_host=0, active_processes={0}, barrier_sync_key_prefix="jnas"
  )


def _existing(path: pathlib.Path) -> pathlib.Path:
  while not os.path.lexists(path):
    path = path.parent
  return path


def _is_not_orbax(record: logging.LogRecord) -> bool:
  return f"{os.sep}orbax{os.sep}" not in record.pathname


def _tell(line: str) -> None:
  print(line, file=sys.stderr, flush=True)
