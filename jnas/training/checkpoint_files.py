"""The files of checkpoints: what Orbax writes to a folder and reads from it.

Orbax commits a step whole or not at all. It does not notice a flipped byte in
array data, so what it reads is checked against checksums (`packing.py`).

The leaves of a state travel as one array of bytes. A search state has
thousands of small ones and Orbax spends milliseconds on each: 4,000 leaves of
8 MB in all took 10 s to save one by one, 2,000 take 0.3 s this way.
"""

import errno
import json
import os
import pathlib
import re
import shutil
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from jnas.training import packing, processes

# What Orbax raises on a damaged checkpoint, found by flipping, cutting and
# removing bytes and files throughout: it parses JSON, passes on what
# TensorStore says (ValueError), and trips over fields missing or odd.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)


class SaveError(OSError):
  """A checkpoint could not be written; `errno` says why where it is known."""


class Files:
  """Checkpoints in one folder, by step.

  Nothing is created or changed before the first `write`.
  """

  def __init__(self, folder: pathlib.Path) -> None:
    self._folder = folder
    self._manager: ocp.CheckpointManager | None = None

  def close(self) -> None:
    """Gives up threads and files."""
    if self._manager is not None:
      self._manager.close()
      self._manager = None

  def steps(self) -> list[int]:
    """Committed steps: Orbax names a folder so once it is complete."""
    if not self._folder.is_dir():
      return []
    names = [path.name for path in self._folder.iterdir() if path.is_dir()]
    return [int(name) for name in names if re.fullmatch("0|[1-9][0-9]*", name)]

  def write(
    self, step: int, content: np.ndarray, header: dict[str, Any]
  ) -> None:
    """Writes a step; it is on disk, whole, when this returns.

    Args:
      step: larger than every step there.
      content: `[N]` uint8.
      header: JSON values, to be sealed.

    Raises:
      SaveError: it could not be written; the steps there are intact.
    """
    sealed = packing.seal(header)
    try:
      self._open_manager().save(
        step,
        args=ocp.args.Composite(
          header=ocp.args.JsonSave(sealed),
          state=ocp.args.StandardSave({"bytes": content}),
        ),
        force=True,
      )
    except (OSError, ValueError, RuntimeError) as error:
      num_bytes = content.nbytes + len(json.dumps(sealed))
      raise self._save_error(step, num_bytes, error) from error

  def delete(self, step: int) -> None:
    """Removes a step."""
    self._open_manager().delete(step)

  def read_header(self, step: int) -> dict[str, Any]:
    """The header that was given to `write`.

    Raises:
      packing.DamagedError: it is not as it was written.
    """
    read = self._read(step, header=ocp.args.JsonRestore())
    header = packing.open_seal(read.header)
    if header["step"] != step:
      raise packing.DamagedError(f"its header is of step {header['step']}")
    return header

  def read_leaves(self, step: int, table: list[list]) -> list[np.ndarray]:
    """The leaves that a table describes.

    Raises:
      packing.DamagedError: one of them is not as it was written.
    """
    target = np.zeros(packing.content_size(table), np.uint8)
    args = ocp.args.StandardRestore({"bytes": target})
    content = self._read(step, state=args).state["bytes"]
    if content.dtype != target.dtype or content.shape != target.shape:
      raise packing.DamagedError("its state has another size")
    return packing.unpack(content, table)

  def _open_manager(self) -> ocp.CheckpointManager:
    if self._manager is None:
      self._folder.mkdir(parents=True, exist_ok=True)
      self._manager = ocp.CheckpointManager(
        self._folder,
        options=ocp.CheckpointManagerOptions(
          cleanup_tmp_directories=True,
          lightweight_initialize=True,
          # `checkpoint.Checkpoints` has all of it done in a thread of its own.
          enable_async_checkpointing=False,
          create=False,
          multiprocessing_options=_alone(),
        ),
      )
    return self._manager

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
      free = shutil.disk_usage(existing(self._folder)).free
      reason += f", {num_bytes:,} bytes needed, {free:,} free"
    newest = max(self.steps(), default=None)
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


def existing(path: pathlib.Path) -> pathlib.Path:
  """The path itself, or the nearest of its parents that is there."""
  while not os.path.lexists(path):
    path = path.parent
  return path


def _alone() -> ocp.options.MultiprocessingOptions:
  """Has Orbax wait for no other process."""
  if not processes.several():
    return ocp.options.MultiprocessingOptions()
  return ocp.options.MultiprocessingOptions(
    primary_host=0, active_processes={0}, barrier_sync_key_prefix="jnas"
  )
