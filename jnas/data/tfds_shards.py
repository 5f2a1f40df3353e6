"""The files of a prepared set: whether they are there, and what they hold.

TFDS looks at none of them before an example is wanted, which may be after hours
of a run.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any


def check(paths: Iterable[Any], name: str) -> None:
  """Refuses a set that has lost files.

  Args:
    paths: of the files that TFDS noted when it prepared the set.
    name: of the set, for messages.

  Raises:
    FileNotFoundError: naming the first file that is missing or empty.
  """
  paths = [os.fspath(path) for path in paths]
  local = [path for path in paths if "://" not in path]
  lost = [
    path
    for path in local
    if not os.path.isfile(path) or not os.path.getsize(path)
  ]
  if lost:
    what = "is empty" if os.path.exists(lost[0]) else "does not exist"
    raise FileNotFoundError(
      f"{name}: {len(lost)} of {len(paths)} prepared files are lost: "
      f"{lost[0]} {what}; copy it again, or prepare the set anew"
    )


class Examples:
  """A split's examples by position; says where one cannot be read."""

  def __init__(self, source: Any, name: str) -> None:
    self._source = source
    self._name = name

  def __len__(self) -> int:
    return len(self._source)

  def __iter__(self) -> Iterator[dict[str, Any]]:
    return (self[at] for at in range(len(self)))

  def __getitem__(self, at: int) -> dict[str, Any]:
    """An example.

    Raises:
      OSError: its file is damaged or gone, in one line.
    """
    try:
      return self._source[at]
    except (RuntimeError, IndexError) as error:
      reason = " ".join(str(error).split())
      raise OSError(f"{self._name} example {at}: {reason}") from error
